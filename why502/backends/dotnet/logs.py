"""Log messages of the .NET host and of Kestrel (corehost, Microsoft.AspNetCore.Server.Kestrel.Core, CoreStrings.resx)."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "dotnet"
_START = Phase.STARTUP
_STACK = lazy(r"\A\s{1,64}at [\w.<>`\[\],]{1,400}\(.*(?:\)|:line \d{1,9})\Z|\A(?:info|warn|fail|crit|dbug): [\w.]+\[\d+\]")
PHRASES = (
    Phrase("ailed to bind to address", r"(?P<detail>[Ff]ailed to bind to address (?P<address>\S{1,300}?): address already in use)", Symptom.ADDRESS_IN_USE, _START),
    Phrase("ailed to bind to address", r"(?P<detail>[Ff]ailed to bind to address (?P<address>[^\s]{0,300}[^\s:.])(?:[:.]?(?=\s)|[:.]?$).*)", Symptom.START_FAILED, _START),
    Phrase("Unable to bind to ", r"(?P<detail>Unable to bind to (?P<address>\S{1,255}) on the IPv6 loopback interface)", None),  # IPv4 serves
    Phrase("Unable to bind to ", r"(?P<detail>Unable to bind to (?P<address>\S{1,255}) on the IPv4 loopback interface: .*)", Symptom.START_FAILED, _START),
    Phrase("You must install or update .NET", r"(?P<detail>You must install or update \.NET to run this application)", Symptom.START_FAILED, _START),
    Phrase("compatible framework version", r"(?P<detail>It was not possible to find any compatible framework version)", Symptom.START_FAILED, _START),
    Phrase("was not found.", r"(?P<detail>[Tt]he framework '[^']{0,255}', version '[^']{0,255}' .{0,2048}was not found\.)", Symptom.START_FAILED, _START),
    Phrase("The application to execute does not exist", r"(?P<detail>The application to execute does not exist.*)", Symptom.START_FAILED, _START),
    Phrase("Could not load file or assembly", r"(?P<detail>Could not load file or assembly '[^']{0,255}'.*)", Symptom.START_FAILED, _START),
    Phrase("Unable to start Kestrel", r"(?P<detail>Unable to start Kestrel)", Symptom.START_FAILED, _START),
    Phrase("Hosting failed to start", r"(?P<detail>Hosting failed to start)", Symptom.START_FAILED, _START),
    Phrase("Unhandled exception. ", r"Unhandled exception\. (?P<detail>[\w.`]{1,255}(?:Exception|Error)\b.*)", Symptom.PROCESS_CRASHED),
    Phrase("Fatal error. ", r"^(?P<detail>Fatal error\. [\w.]{1,255}Exception.*)", Symptom.PROCESS_CRASHED),
    Phrase("Process terminated. ", r"^(?P<detail>Process terminated\. .*)", Symptom.PROCESS_CRASHED),
    Phrase("thread pool starvation", r"(?P<detail>heartbeat has been running for .{0,2048}thread pool starvation)", Symptom.WORKERS_BUSY),
    Phrase("Request headers too long", r"(?P<detail>Request headers too long)", Symptom.REQUEST_HEADER_TOO_BIG),
    Phrase("Invalid request line", r"(?P<detail>Invalid request line: '\\x16.*)", Symptom.OTHER_PROTOCOL),
    Phrase("request was sent to an HTTP/2 only endpoint", r"(?P<detail>An HTTP/1\.x request was sent to an HTTP/2 only endpoint)", Symptom.OTHER_PROTOCOL),
    Phrase("was not negotiated on an HTTP/2-only endpoint", r"(?P<detail>HTTP/2 over TLS was not negotiated on an HTTP/2-only endpoint)", Symptom.OTHER_PROTOCOL),
    Phrase("BadHttpRequestException", r"BadHttpRequestException: (?P<detail>.*)", Symptom.CLIENT_BAD_REQUEST),
    Phrase("ConnectionAbortedException", r"ConnectionAbortedException: (?P<detail>The request :\w{1,100} is invalid.*)", Symptom.CLIENT_PROTOCOL),
    Phrase("n unhandled exception ", r"(?P<detail>[Aa]n unhandled exception (?:was thrown by the application|has occurred while executing the request).*)", Symptom.APPLICATION_ERROR),
    Phrase("Now listening on: ", r"Now listening on: (?P<address>\S+)", Symptom.LISTENS_ON, _START),
    Phrase("Application started. ", r"(?P<detail>Application started)\. Press", Symptom.PROCESS_STARTED, _START),
    Phrase("Application is shutting down", r"(?P<detail>Application is shutting down)\.\.\.", Symptom.PROCESS_STOPPED),
)  # fmt: skip
MARKS, fits, parse = of_phrases(NAME, PHRASES, _STACK)
