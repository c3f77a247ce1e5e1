"""What two services need or what serves people: words, money, messages, the protocol, the books' checks. Imports no service."""
