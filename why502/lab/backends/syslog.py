"""A syslog daemon of the lab: writes the messages that it receives on UDP port 514 to a file, as rsyslogd does.

usage: syslog.py FILE {traditional|iso}

Sources: RFC 3164, RFC 5424; rsyslog.conf(5), RSYSLOG_TraditionalFileFormat and RSYSLOG_FileFormat.
"""

import re
import socket
import sys
from datetime import datetime
from pathlib import Path

HEADER = re.compile(rb"<\d{1,3}>(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?")


def main(file: str, form: str) -> None:
    """Write until it is killed; a line at a time, and at once."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 514))
    with Path(file).open("ab", buffering=0) as log:
        while True:
            message = receiver.recv(65536)
            now = datetime.now().astimezone()
            stamp = now.strftime("%b %e %H:%M:%S") if form == "traditional" else now.isoformat()
            log.write(f"{stamp} gate ".encode() + HEADER.sub(b"", message, count=1).rstrip(b"\n") + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
