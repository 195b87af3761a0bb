"""What fcgiwrap writes where it does not run a program (fcgiwrap.c, cgi_error): to its own standard error, and with -f to the gateway."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom

NAME = "fcgiwrap"
_FILE = r" \((?P<file>/[^)]{1,1024})\)"
PHRASES = (
    Phrase(
        "Cannot get script name, are DOCUMENT_ROOT",
        r"(?P<detail>Cannot get script name, are DOCUMENT_ROOT and SCRIPT_NAME \(or SCRIPT_FILENAME\) set and is the script executable\?)",
        Symptom.SCRIPT_NOT_FOUND,
        Phase.READ_HEADER,
    ),
    *(
        Phrase(words, rf"(?P<detail>{words}{_FILE})", Symptom.SCRIPT_NOT_FOUND, Phase.READ_HEADER)
        for words in (
            "The given script is not allowed to execute",
            "Cannot chdir to script directory",
            "Cannot chdir to FCGI_CHDIR directory",
            "Cannot execute script",
        )
    ),
    Phrase(
        "Script name must be a fully qualified path",
        r"(?P<detail>Script name must be a fully qualified path \([^)]{1,1024}\))",
        Symptom.SCRIPT_NOT_FOUND,
        Phase.READ_HEADER,
    ),
)
MARKS, fits, parse = of_phrases(NAME, PHRASES)
