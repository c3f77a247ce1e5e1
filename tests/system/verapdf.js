// Runs veraPDF on the files that are named: one line a file, then the rules that it breaks. Rhino lends the library a way to be called.
importPackage(Packages.org.verapdf.gf.foundry, Packages.org.verapdf.pdfa, Packages.org.verapdf.pdfa.flavours);
VeraGreenfieldFoundryProvider.initialise();
for (var at = 0; at < arguments.length; at++) {
  var flavour = PDFAFlavour.fromString("3b");
  var foundry = Foundries.defaultInstance();
  var result = foundry.createValidator(flavour, false).validate(foundry.createParser(new java.io.FileInputStream(arguments[at]), flavour));
  print((result.isCompliant() ? "good " : "bad ") + arguments[at]);
  var broken = result.getFailedChecks().keySet().iterator();
  while (broken.hasNext()) print("  " + broken.next());
}
