"""The `sec-rl` command itself; modules beside this one add its commands."""

from __future__ import annotations

from cyclopts import App, Parameter

from sec_rl.cli.version import version_text

# Of a run that shows that everything works.
QUICK_PASSES = 640

app = App(
    name="sec-rl",
    help="One controller over the data ratio and the compression ratio of a BERT fine-tuning run.",
    result_action="return_value",
    version=version_text,
    version_format="plaintext",
    default_parameter=Parameter(negative=()),
    # `main` says in one line that it was interrupted; cyclopts would end without a word.
    suppress_keyboard_interrupt=False,
)
