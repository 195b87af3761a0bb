"""What Perl says where it ends a program, and where its servers listen (perldiag; Mojo::Server::Daemon, HTTP::Server::PSGI,
Net::Server).
"""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "perl"
_START = Phase.STARTUP
_PLACE = lazy(r" at /?\S{1,500} line \d{1,9}(?:\.|,)")
_AT = r".{0,500}? at \S{1,500} line \d{1,9}\b"
PHRASES = (
    Phrase("Can't locate ", r"(?P<detail>Can't locate [\w/]{1,255}\.p[ml] in @INC)", Symptom.START_FAILED, _START),
    Phrase("BEGIN failed--compilation aborted", r"(?P<detail>BEGIN failed--compilation aborted" + _AT + ")", Symptom.START_FAILED, _START),
    Phrase("Can't load application from file", r"(?P<detail>Can't load application from file .{1,300})", Symptom.START_FAILED, _START),
    Phrase("syntax error at ", r"(?P<detail>syntax error at \S{1,500} line \d{1,9}, near .{1,100})", Symptom.START_FAILED, _START),
    Phrase("Can't create listen socket: ", r"(?P<detail>Can't create listen socket: Address already in use)", Symptom.ADDRESS_IN_USE, _START),
    Phrase("Can't ", r"(?P<detail>Can't (?:call method|locate object method|use (?:an undefined value|string)|open)" + _AT + ")", Symptom.APPLICATION_ERROR),
    Phrase("Undefined subroutine ", r"(?P<detail>Undefined subroutine &\S{1,200} called" + _AT + ")", Symptom.APPLICATION_ERROR),
    Phrase("Web application available at ", r"Web application available at (?P<address>https?\S{0,9}://\S{1,300})", Symptom.LISTENS_ON, _START),
    Phrase("Accepting connections at ", r"HTTP::Server::PSGI: Accepting connections at (?P<address>https?://\S{1,300})", Symptom.LISTENS_ON, _START),
    Phrase("Binding to TCP port ", r"Binding to TCP port (?P<port>\d{1,5}) on host (?P<host>\S{1,255})", Symptom.LISTENS_ON, _START),
)  # fmt: skip
MARKS, fits, parse = of_phrases(NAME, PHRASES, _PLACE)
