"""Forms made from commands: the model of a command is its form.

`form_of("set-time-group")` (`command_form`) reads the JSON schema of the command and gives its
fields with labels, kinds of input, choices, limits and whether each is needed; nothing is written
twice. Helps that the schema does not have are in `columns/help.py`. How to use it:

    form = form_of("set-time-group")
    view = FormView(form, form.texts({"time_group": "W1", "cycle": "weekly"}))   # GET
    texts = form.given(await page.request.form())                               # POST
    outcome = await page.act(form_id, form.command, **form.body(texts))
    view = FormView(form, texts, outcome.refusal)    # shows what was typed, and what is wrong

and in the template

    {% import "forms/parts.html" as forms %}
    {{ forms.form(page, view, action, "Save") }}

which brings the token, the id of the form, each problem beside its field, and the refusal.
`edit.py` has one route for every command, `/edit/COMMAND`, made of this; `EDITS` there says what
is special about one (what it is called, which values it begins with, where one goes after it). A
command that is not named there has the plain form. A list of records (`taxes`) is a table with
some empty rows; empty rows are not sent. `NO_FORM` (`command_form`) names the commands that have
no form, each with the reason.

Of a command whose fields stay when they are left out (`keeps`), only what was changed in the form
is sent: the form carries what it began with.
"""
