"""Log messages of the JVM, Tomcat, Jetty, Undertow and Spring Boot (hotspot, org.apache.coyote, org.apache.tomcat)."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import ENVIRONMENT, Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "java"
_START = Phase.STARTUP
_STACK = lazy(
    r"^\s+at [\w.$/@-]+\.[\w$<>]+\((?:[\w$]+\.java:\d+|Native Method|Unknown Source)\)|^Caused by: [a-z][\w.]+\.[A-Z]|^\s+\.\.\. \d+ (?:more|common frames)"
)
_THROWN = r"(?P<detail>(?:[a-z]\w*\.)+[A-Z][\w$]*(?:Exception|Error)(?:: .*)?)$"
PHRASES = (
    Phrase("StuckThreadDetectionValve", r"(?P<detail>Thread \[[^\]]{0,255}\] .{0,40}has been active for \[[^\]]{0,255}\] milliseconds.*)", Symptom.APPLICATION_SLOW),
    Phrase("was already in use", r"(?P<detail>Web server failed to start\. Port (?P<port>\d{1,20}) was already in use)", Symptom.ADDRESS_IN_USE, _START),
    Phrase("connector configured to listen on port", r"(?P<detail>connector configured to listen on port (?P<port>\d{1,20}) failed to start)", Symptom.ADDRESS_IN_USE, _START),
    Phrase("BindException: ", r"(?P<detail>java\.net\.BindException: Address already in use\b.{0,2048}?)(?::?\s{0,64}/?(?P<address>[\w.\[\]:]{0,255}:\d{1,20}))?\s{0,64}$", Symptom.ADDRESS_IN_USE, _START),
    Phrase("BindException: ", r"(?P<detail>java\.net\.BindException: .*)", Symptom.START_FAILED, _START),
    Phrase("ailed to bind to ", r"(?P<detail>[Ff]ailed to bind to) (?:\S{0,255}/)?(?P<address>[\w.\[\]:]{0,255}:\d+)", Symptom.ADDRESS_IN_USE, _START),
    Phrase("Could not find or load main class", r"(?P<detail>Could not find or load main class .*)", Symptom.START_FAILED, _START),
    Phrase("Unable to access jarfile", r"(?P<detail>Unable to access jarfile .*)", Symptom.START_FAILED, _START),
    Phrase("no main manifest attribute", r"(?P<detail>no main manifest attribute, in .*)", Symptom.START_FAILED, _START),
    Phrase("Could not create the Java Virtual Machine", r"(?P<detail>Could not create the Java Virtual Machine)", Symptom.START_FAILED, _START),
    Phrase("Error occurred during initialization of", r"(?P<detail>Error occurred during initialization of (?:VM|boot layer))", Symptom.START_FAILED, _START),
    Phrase("Could not reserve enough space", r"(?P<detail>Could not reserve enough space for .*)", Symptom.START_FAILED, _START),
    Phrase("UnsupportedClassVersionError", r"(?P<detail>java\.lang\.UnsupportedClassVersionError.*)", Symptom.START_FAILED, _START),
    Phrase("Could not resolve placeholder", r"(?P<detail>Could not resolve placeholder '[^']{0,255}'.*)", Symptom.START_FAILED, _START),
    Phrase("APPLICATION FAILED TO START", r"(?P<detail>APPLICATION FAILED TO START)", Symptom.START_FAILED, _START),
    Phrase("Application run failed", r"(?P<detail>Application run failed)", Symptom.START_FAILED, _START),
    Phrase("Error creating bean with name", r"(?P<detail>Error creating bean with name '[^']{0,255}'.*)", Symptom.START_FAILED, _START),
    Phrase("secretRequired", r"(?P<detail>The AJP Connector is configured with secretRequired=.*)", Symptom.SECRET_MISMATCH, _START),
    Phrase("] startup failed due to previous errors", r"(?P<detail>Context \[[^\]]{0,255}\] startup failed due to previous errors)", Symptom.START_FAILED, _START),
    Phrase("ClassNotFoundException", r"^(?:Exception in thread \"main\" |Caused by: )(?P<detail>java\.lang\.(?:ClassNotFoundException|NoClassDefFoundError).*)", Symptom.START_FAILED, _START),
    Phrase("Terminating due to java.lang.OutOfMemoryError", r"(?P<detail>Terminating due to java\.lang\.OutOfMemoryError.*)", Symptom.PROCESS_CRASHED),
    Phrase("Aborting due to java.lang.OutOfMemoryError", r"(?P<detail>Aborting due to java\.lang\.OutOfMemoryError.*)", Symptom.PROCESS_CRASHED),
    Phrase("insufficient memory for the Java Runtime", r"(?P<detail>There is insufficient memory for the Java Runtime Environment to continue)", Symptom.PROCESS_CRASHED),
    Phrase("fatal error has been detected by the Java", r"(?P<detail>A fatal error has been detected by the Java Runtime Environment)", Symptom.PROCESS_CRASHED),
    Phrase("at pc=", r"^#\s{1,64}(?P<detail>(?P<signal>SIG[A-Z]{1,255}) \(0x[0-9a-f]{1,255}\) at pc=.{0,2048}pid=(?P<pid>\d{1,20}).*)", Symptom.PROCESS_CRASHED),
    Phrase('Exception in thread "main"', r"Exception in thread \"main\" (?P<detail>.*)", Symptom.PROCESS_CRASHED),
    Phrase("OutOfMemoryError", r"(?P<detail>java\.lang\.OutOfMemoryError(?:: .{0,2048})?)$", Symptom.APPLICATION_ERROR),
    Phrase("header is too large", r"(?P<detail>Request header is too large)", Symptom.REQUEST_HEADER_TOO_BIG),
    Phrase("eader is too large", r"(?P<detail>(?:Header|URI) is too large >\d+)", Symptom.REQUEST_HEADER_TOO_BIG),
    Phrase("Invalid character found in method name", r"(?P<detail>Invalid character found in method name \[(?:0x)?\\?x?16.*)", Symptom.OTHER_PROTOCOL),
    Phrase("Invalid character found in ", r"(?P<detail>Invalid character found in (?:method name|the request target|the HTTP protocol).*)", Symptom.CLIENT_BAD_REQUEST),
    Phrase("are currently busy, waiting", r"(?P<detail>All threads \(\d{1,20}\) are currently busy, waiting.*)", Symptom.WORKERS_BUSY),
    Phrase("Maximum number of threads (", r"(?P<detail>Maximum number of threads \(\d{1,20}\) created for connector with address \[(?P<host>[^\]]{0,255})\] and port \[(?P<port>\d{1,20})\])", Symptom.WORKERS_BUSY),
    Phrase("has been active for [", r"(?P<detail>has been active for \[[\d,.]{1,255}\] milliseconds)", Symptom.APPLICATION_SLOW),
    Phrase("Connection is not available, request timed out", r"(?P<detail>\S{1,255} - Connection is not available, request timed out after \d{1,20} ?ms.*)", Symptom.APPLICATION_ERROR),
    Phrase("Connector@", r"Started [\w.]{0,100}Connector@\w{1,40}\{.{0,200}?\{(?P<address>[^{}\s]{1,255}:\d{1,5})\}", Symptom.LISTENS_ON, _START),
    Phrase("started on port", r"(?:Tomcat|Jetty|Undertow|Netty)(?: [Ss]erver)? started on ports?(?:\(s\))?:? (?P<port>\d+)", Symptom.LISTENS_ON, _START),
    Phrase("Starting ProtocolHandler [", r"Starting ProtocolHandler \[\"[a-z]{1,255}-[a-z0-9]{1,255}-(?:[\w.%]{1,255}-)?(?P<port>\d{1,20})\"\]", Symptom.LISTENS_ON, _START),
    Phrase("Stopping ProtocolHandler [", r"(?P<detail>Stopping ProtocolHandler \[\"[a-z]{1,255}-[a-z0-9]{1,255}-(?:[\w.%]{1,255}-)?(?P<port>\d{1,20})\"\])", Symptom.PROCESS_STOPPED),
    Phrase(" seconds (", r"\bStarted \w{1,100} in [\d.]{1,255} seconds \((?:JVM|process) running for", Symptom.PROCESS_STARTED, _START),
    *ENVIRONMENT,
    Phrase("Exception", r"^(?:Caused by: )?" + _THROWN, Symptom.APPLICATION_ERROR),
)  # fmt: skip
MARKS, fits, parse = of_phrases(NAME, PHRASES, _STACK)
