"""The dependency that an application's error message names: a database, a cache, a queue or another service."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from why502.model.patterns import lazy
from why502.model.target import Target

PRODUCTS = {
    5432: "PostgreSQL",
    6432: "PgBouncer",
    3306: "MySQL",
    6379: "Redis",
    26379: "Redis Sentinel",
    27017: "MongoDB",
    11211: "memcached",
    5672: "RabbitMQ",
    9092: "Kafka",
    9200: "Elasticsearch",
    2379: "etcd",
    389: "LDAP",
}
_NAMED = (
    (
        "PostgreSQL",
        lazy(
            r"(?i)psycopg|postgres|\bconnection already closed$|\bPG::|pgsql|\basyncpg\b|\.s\.PGSQL|SQLSTATE\[08|\bpq: "
            r"|npgsql|pgbouncer"
        ),
    ),
    ("MySQL", lazy(r"(?i)mysql|mariadb|mysqld\.sock")),
    ("Redis", lazy(r"(?i)redis")),
    ("MongoDB", lazy(r"(?i)mongo")),
    ("memcached", lazy(r"(?i)memcache|\bdalli\b")),
    ("RabbitMQ", lazy(r"(?i)\bamqp|rabbitmq|\bpika\b|\bbunny\b")),
    ("Elasticsearch", lazy(r"(?i)elasticsearch|opensearch")),
    ("Kafka", lazy(r"(?i)kafka")),
    ("LDAP", lazy(r"\bldap|LDAP|javax\.naming")),
    ("SQL Server", lazy(r"(?i)sqlclient|\bsqlsrv\b|\bsql server\b|com\.microsoft\.sqlserver")),
    ("Oracle", lazy(r"\bORA-\d{5}\b|\boracle\.jdbc\b|\bTNS:")),
    ("the message broker", lazy(r"\bkombu\b|\bcelery\b")),
    ("the mail server", lazy(r"(?i)\bsmtp|SMTP|javax\.mail|\bEAUTH\b|\b53[045][ -]5\.7\.\d")),
    ("a database", lazy(r"\bPDO|SQLSTATE|(?i:sqlalchemy|queuepool|jdbc|hikari|activerecord|database is locked)")),
)
# Words that only one product's server sends. They count where neither the client library nor the address has told its name.
_SPOKEN = (
    (
        "PostgreSQL",
        lazy(
            r"\bpg_hba\.conf\b|\bFATAL: {1,4}(?:password|Peer|Ident|role|database)\b"
            r"|\b(?:password|Peer|Ident|LDAP|GSSAPI) authentication failed for user \"|\bno password supplied\b"
            r"|\bterminating connection due to (?:administrator command|conflict with recovery|idle-)"
            r"|\bremaining connection slots are reserved\b|\bsorry, too many clients already\b|\bthe database system is "
            r"|\bserver login has been failing\b|\(max_client_conn\)|\bcannot execute [A-Z ]{3,40} in a read-only transaction"
        ),
    ),
    (
        "MySQL",
        lazy(
            r"Access denied for user '[^']{0,100}'@'|Your password has expired\. To log in|\bUnknown database '"
            r"|\bError 1\d{3}(?: \([0-9A-Z]{5}\))?: |Connection lost: The server closed the connection|PROTOCOL_CONNECTION_LOST"
        ),
    ),
    (
        "Redis",
        lazy(r"\bNOAUTH Auth|\bWRONGPASS\b|\binvalid username-password pair|Client sent AUTH, but no password|\bCLUSTERDOWN\b"),
    ),
    ("RabbitMQ", lazy(r"Login was refused using authentication mechanism|\bACCESS_REFUSED\b|NOT_ALLOWED - (?:access to )?vhost")),
)
_HOST = r"(?P<host>\[[0-9a-fA-F:]+\]|[A-Za-z0-9][\w.-]*)"
FORWARDED = "the other end of systemd-socket-proxyd"  # its address is only in the command
_PLACES = (
    lazy(rf"^connect {_HOST}:(?P<port>\d{{1,5}}): "),  # stunnel
    lazy(rf"^{_HOST}:(?P<port>\d{{1,5}}): TIMEOUTconnect exceeded"),
    lazy(rf"""(?i)(?:server at|host) ["'(]{_HOST}["')]*(?: \([\d.:a-f]+\))?,? port (?P<port>\d{{1,5}})"""),
    lazy(rf"""(?i)\bhost=["']{_HOST}["'], ?port=(?P<port>\d{{1,5}})"""),
    lazy(rf"""(?i)\bhost[:=]{_HOST}\)?,? ?\(?port[:=](?P<port>\d{{1,5}})"""),  # MariaDB Connector/J
    lazy(r"""(?i)(?:socket|through socket|unix:|at|on):? ?["'(]*(?P<path>/[\w./-]*(?:\.sock\w*|\.s\.PGSQL\.\d+))"""),
    lazy(rf"""(?i)(?:ECONNREFUSED|ETIMEDOUT|EHOSTUNREACH|ECONNRESET|ENETUNREACH) {_HOST}:(?P<port>\d{{1,5}})\b"""),
    lazy(r"""(?i)(?:ECONNREFUSED|ENOENT|EACCES) (?P<path>/\S+)"""),
    lazy(rf"""\(path: (?:tcp|tls)://{_HOST}:(?P<port>\d{{1,5}})"""),  # session.save_path of PHP
    lazy(rf"""(?i)\b(?:to|on|at|with|dial tcp:?|server) ["'(`]*(?:tcp://|https?://)?{_HOST}:(?P<port>\d{{2,5}})\b"""),
    lazy(rf"""(?i)(?:host ?name|server host|server on|ENOTFOUND|EAI_AGAIN|lookup) ["'(]*{_HOST}(?=["') ,]|$)"""),
)
_POOL = "is slower than connections are released"  # message about the application's own pool of connections
_UNTRUSTED = "has a certificate that does not verify"
ENDS = "ends its connections"
_DOWN = (
    (
        "refuses connections",
        lazy(r"(?i)connection refused|ECONNREFUSED|\bErrno 111\b|\bError 111\b|\(111\)|:\d+ refused\b|actively refused"),
    ),
    ("is not there", lazy(r"(?i)(?:\.sock\b|\.s\.PGSQL|socket).{0,120}(?:no such file|\(2\))|ENOENT /\S+\.sock")),
    (
        "does not let the application open its socket",
        lazy(
            r"(?i)(?:\.sock\b|\.s\.PGSQL|\bsocket\b).{0,120}(?:permission denied|\(13\))|\bEACCES /\S+|\bError 13 connecting"
            r"|\b(?:redis|pdo|mysqli?_sql_)exception: {1,4}permission denied|\(HY000/2002\): Permission denied"
        ),
    ),
    (
        "does not answer connection attempts",
        lazy(
            r"(?i)connection timed out|connect(?:ion)? ?time(?:d )?-?out|connecttimeout|timeout connecting|ETIMEDOUT"
            r"|no route to host|EHOSTUNREACH"
            r"|TIMEOUTconnect exceeded|network is unreachable|dial tcp[^\n]{0,200}i/o timeout|could not connect to server"
        ),
    ),
    (
        "cannot be reached",  # in these words, clients do not say why
        lazy(
            r"(?i)can't reach database server|network-related or instance-specific error|AMQPConnectionError|TNS:no listener"
            r"|\bnpgsql\w{0,20}\b.{0,40}failed to connect to|server login has been failing|pgbouncer cannot connect to server"
            r"|ServerIsMarkedDead|error (?:3|35|47) from memcached_"
            r"|mongo\w{0,40}: .{0,80}(?:couldn't|could not) connect to server"
        ),
    ),
    (
        "has no such database, or none that takes connections",
        lazy(
            r"(?i)\bdatabase [\"'`]?[^\s\"'`]{1,64}[\"'`]? (?:does not exist|is not currently accepting)|\bunknown database '"
            r"|could not find your database: "
        ),
    ),
    (
        "takes no more connections",
        lazy(
            r"(?i)too many (?:clients|connections)|remaining connection slots are reserved|max number of clients reached"
            r"|max_user_connections"
            r"|no more connections allowed"
        ),
    ),
    (
        "does not resolve",
        lazy(
            r"(?i)could not translate host name|getaddrinfo|name or service not known|name resolution"
            r"|unknown (?:mysql server )?host|no such host"
        ),
    ),
    (
        ENDS,
        lazy(
            r"(?i)server has gone away|server closed the connection unexpectedly|terminating connection due to|lost connection to"
            r"|connection already closed|connection has been closed unexpectedly|connection closed by server"
            r"|connection lost: the server closed|PROTOCOL_CONNECTION_LOST|SMTPServerDisconnected"
        ),
    ),
    ("does not serve its sessions", lazy(r"(?i)session data: (?:redis(?:cluster)?|memcached?) \(path: ")),
    (
        "is not ready",
        lazy(
            r"(?i)database system is (?:starting up|shutting down|not (?:yet )?accepting|in recovery)|LOADING Redis|MASTERDOWN"
            r"|\bCLUSTERDOWN\b|Server shutdown in progress|\bnot primary\b|\bNotPrimary|\bNotWritablePrimary"
            r"|not master and slaveok"
        ),
    ),
    (
        "rejects the login",
        lazy(
            r"(?i)\bauthentication failed for (?:user|role)\b|access denied for user|\bNOAUTH\b|\bWRONGPASS\b"
            r"|no pg_hba\.conf entry|pg_hba\.conf rejects|no password supplied"
            r"|(?:FATAL: {1,4}|InvalidAuthorization\w{0,40}: )role \S{1,64} does not exist|no such user"
            r"|is not allowed to connect to this (?:mysql|mariadb)|because of many connection errors"
            r"|client does not support authentication protocol|authentication plugin '[^']{1,100}'"
            r"|SASL authentication failed|(?:issue connecting to|access) your database with your username"
            r"|\bauthentication (?:failed|failure)\.?(?:[\"'),]|$)|bad auth ?: |requires authentication\b|ACCESS[_-]REFUSED"
            r"|\baccess to vhost\b.{1,200}\brefused for user|your password has expired"
            r"|must (?:SET PASSWORD|reset your password using)"
            r"|account is locked|is not permitted to log in|invalid username-password pair|\bAuthenticationError: "
            r"|\bAuthenticationFailedException\b|DENIED (?:Redis|Valkey) is running in protected mode"
            r"|\bsent AUTH, but no password is set|without any password configured for the default user"
            r"|\bERR invalid password\b|Error authenticating: |CLIENT_ERROR unauthenticated"
            r"|\binvalid[ _]?credentials\b|LDAP: error code 49\b"
            r"|SMTPAuthenticationError|SMTP Error: Could not authenticate|Failed to authenticate on SMTP server"
            r"|\bEAUTH\b|\b53[045][ -]5\.7\.\d{1,2} "
        ),
    ),
    (
        "refuses messages",  # basic.nack, basic.return, connection.blocked (AMQP 0-9-1 and RabbitMQ's extensions)
        lazy(r"(?i)\bNackError\b|message\(s\) NACKed|\bUnroutableError\b|\bConnectionBlocked|\bresource_error\b.{0,80}queue"),
    ),
    (
        "is out of memory and refuses to write",
        lazy(r"(?i)\bOOM command not allowed|out of memory storing object"),
    ),
    (
        "cannot save its data and refuses to write",
        lazy(r"\bMISCONF\b|(?i:stop-writes-on-bgsave-error|could not (?:extend|write) file \"\S{1,255}\": no space left)"),
    ),
    (
        "does not permit the command",
        lazy(
            r"(?i)permission denied for (?:table|relation|schema|sequence|database|view|function)\b"
            r"|(?:select|insert|update|delete|execute|create) command denied to user"
        ),
    ),
    ("has no room for its data", lazy(r"(?i)\bthe table '[^']{1,100}' is full\b|\berrno: 28\b")),  # MySQL: ER_RECORD_FILE_FULL
    (
        "has no room for its temporary data",
        lazy(
            r"(?i)temporary file size exceeds temp_file_limit|could not resize shared memory segment"
            r"|could not write to file \"\S{0,200}pgsql_tmp"
        ),
    ),
    (
        "has a damaged table or index",
        lazy(
            r"(?i)incorrect key file for table|is marked as crashed|incorrect information in file:"
            r"|doesn't exist in engine|invalid page in block \d|could not read block \d"
        ),
    ),
    (
        "is out of reach: the application may not use sockets of that family",
        lazy(r"(?i)address family not supported by protocol"),
    ),
    (
        _UNTRUSTED,
        lazy(
            r"(?i)\bCERT_HAS_EXPIRED\b|certificate has expired|CERTIFICATE_VERIFY_FAILED|certificate verify failed"
            r"|UNABLE_TO_VERIFY_LEAF|unable to verify the first certificate|\bself[- ]signed certificate\b"
            r"|ERR_TLS_CERT_ALTNAME_INVALID|SSL certificate problem|x509: certificate|PKIX path building failed"
            r"|unable to get local issuer certificate"
        ),
    ),
    (
        "is read-only",
        lazy(r"(?i)\bREADONLY You can|in a read-only transaction|server is running with the --(?:super-)?read-only option"),
    ),
)
_UNPLACED = (  # client libraries and forwarders that name no address
    # Node's fetch: no answer came at all (refused, unresolved, a bad certificate). The stack that frameworks log lacks its cause.
    ("a service that it asks over HTTP", "cannot be reached", lazy(r"^(?:Uncaught |Unhandled )?TypeError: fetch failed$")),
    (FORWARDED, "refuses connections", lazy(r"^Failed to connect to remote host: Connection refused")),
    (
        FORWARDED,
        "does not answer connection attempts",
        lazy(r"^Failed to connect to remote host: (?:Connection timed out|No route)"),
    ),
    (FORWARDED, "is not there", lazy(r"^Failed to connect to remote host: No such file")),
    (FORWARDED, "does not resolve", lazy(r"^Failed to (?:resolve|get) (?:remote )?host")),
    ("Redis", "is busy with a script and answers no other client", lazy(r"\b(?:Redis|Valkey) is busy running a script")),
    ("Redis", "does not permit the command", lazy(r"\bNOPERM\b")),
    ("Redis", "is out of memory and refuses to write", lazy(r"\bOOM command not allowed when used memory")),
    ("Redis", "cannot save its data and refuses to write", lazy(r"\bMISCONF (?:Redis|Valkey) is configured to save")),
    # redis-py and others leave out the code before the message.
    ("Redis", "is read-only", lazy(r"(?i)\bYou can't write against a read[- ]only (?:replica|slave)")),
    ("Redis", "is not ready", lazy(r"(?i)\bRedis is loading the dataset in memory")),
    ("Redis", "is out of memory and refuses to write", lazy(r"(?i)\bcommand not allowed when used memory > 'maxmemory'")),
    ("MySQL", "is not there", lazy(r"(?i)mysqli?_\w{0,40}exception\b.{0,60}no such file or directory")),
    ("MySQL", "is not there", lazy(r"\(HY000/2002\): No such file or directory")),  # mysqli, libmysql's CR_CONNECTION_ERROR
    ("MySQL", "refuses connections", lazy(r"\(HY000/200[23]\): Connection refused")),
    (
        "MySQL",
        "does not answer connection attempts",
        lazy(r"\(HY000/200[23]\): (?:Connection timed out|Operation timed out)"),
    ),
    ("MySQL", "refuses connections", lazy(r"(?i)mysqli?_\w{0,40}exception\b.{0,60}connection refused")),
)
_URL = lazy(
    r"(?P<scheme>[a-z][a-z0-9+]{1,20})://(?:[^@/\s]{0,200}@)?(?P<host>\[[0-9a-fA-F:]+\]|[\w.-]+)(?::(?P<port>\d{1,5}))?(?:[/?]|$)"
)
_SCHEMES = {
    "postgres": 5432,
    "postgresql": 5432,
    "mysql": 3306,
    "mariadb": 3306,
    "redis": 6379,
    "mongodb": 27017,
    "amqp": 5672,
    "memcached": 11211,
}
_HOST_NAME = lazy(
    r"(?<!\w)(?P<stem>\w{0,40}?(?:DB|DATABASE|PG|POSTGRES\w{0,16}|MYSQL|MARIADB|REDIS|MONGO\w{0,16}|MEMCACHED?|RABBIT\w{0,16}|AMQP|ELASTIC\w{0,16}|CACHE))_?(?:HOST|SERVER|ADDR)",
    re.IGNORECASE,
)
_SLOW = (
    (
        "holds a lock that others wait for",
        lazy(r"(?i)lock (?:wait )?time-?out|LockNotAvailable|database is locked|deadlock detected"),
    ),
    (
        "does not answer in time",
        lazy(
            r"(?i)statement timeout|read timed out|readtimeout|sockettimeout|cURL error 28|deadline exceeded|query_wait_timeout"
        ),
    ),
)
_OF_A_POOL = lazy(
    r"(?i)acquiring (?:a )?connection|connection is not available, request timed out|could not obtain a (?:database )?connection"
    r"|pool time-?out"
)


# Two processes that use one connection read each other's answers, and each one's TLS records fail the other's check.
_MIXED = lazy(
    r"(?i)\bbad record mac\b|lost synchronization with server|message type 0x[0-9a-f]{2} arrived from server while idle"
    r"|packet sequence number wrong|packets? out of (?:order|sequence)|commands out of sync|malformed packet"
    r"|PGRES_(?:TUPLES|COMMAND)_OK and no message from the libpq|unexpected response from server; first received character"
    r"|Protocol error, got \W{1,3}.{1,4} as reply type byte"
)


@dataclass(frozen=True, slots=True)
class Need:
    """An application's message about a dependency. `place`: the address that it tried, or a name without a port."""

    product: str
    place: Target | None
    how: str  # "refuses connections"
    is_down: bool

    @property
    def name(self) -> str:
        """The dependency in words: its product, its address, or both."""
        where = str(self.place) if self.place is not None else ""
        return f"{self.product} ({where})" if self.product and where else self.product or where


@lru_cache(4096)
def need_of(text: str) -> Need | None:
    """Return what an application's line reports about a dependency; None if it reports nothing of that kind."""
    text = text[:2000]
    for product, how, rx in _UNPLACED:
        if rx.search(text):
            return Need(product, None, how, is_down=True)
    found = (_POOL, False) if _OF_A_POOL.search(text) else None
    found = found or next(((how, True) for how, rx in _DOWN if rx.search(text)), None)
    found = found or next(((how, False) for how, rx in _SLOW if rx.search(text)), None)
    if found is None:
        return None
    place = _place(text)
    product = next((name for name, rx in _NAMED if rx.search(text)), PRODUCTS.get(place.port, "") if place else "")
    product = product or next((name for name, rx in _SPOKEN if rx.search(text)), "")
    if not product and place is None and found[0] == _UNTRUSTED:
        product = "a service that it asks over TLS"
    if not product and place is None:
        return None
    return Need(product, place, *found)


def is_refused_somewhere(text: str) -> bool:
    """Return whether a line reports that a connection was refused, and not which."""
    return need_of(text) is None and _DOWN[0][1].search(text[:2000]) is not None


def is_mixed_up(text: str) -> bool:
    """Return whether a client library reports an answer that belongs to another request: several processes or threads use one
    connection.
    """
    return _MIXED.search(text[:2000]) is not None


def product_in(text: str) -> str:
    """Return the product whose client library a line names ("psycopg2.OperationalError"); "" if none."""
    return next((name for name, rx in _NAMED if rx.search(text[:2000])), "")


def named_in(environment: dict[str, str]) -> dict[Target, str]:
    """Return the addresses of databases, caches and queues in a process's environment variables, with the variable's name."""
    found: dict[Target, str] = {}
    for name, value in environment.items():
        match = _URL.match(value[:2000])
        scheme = match["scheme"].partition("+")[0] if match else ""
        if match and (usual := _SCHEMES.get(scheme)):
            port = int(match["port"] or usual)
            if port <= 65535 and (target := Target.parse(f"{match['host']}:{port}")):
                found.setdefault(_plain(target), name)
        elif (match := _HOST_NAME.fullmatch(name)) and value:
            text = next((environment[key] for key in (f"{match['stem']}_PORT", f"{match['stem']}PORT") if key in environment), "")
            port = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else _usual(match["stem"])
            if value.startswith("/"):
                continue
            if 0 < port <= 65535 and re.fullmatch(r"[\w.-]+", value) and (target := Target.parse(f"{value}:{port}")):
                found.setdefault(_plain(target), name)
    return found


def _plain(target: Target) -> Target:
    return Target(host="127.0.0.1", port=target.port) if target.host == "localhost" else target


def _usual(stem: str) -> int:
    """Return the usual port of the product that a variable is named after; 0 if unknown."""
    product = next((name for name, rx in _NAMED[:-1] if rx.search(stem)), "PostgreSQL" if stem.upper() == "PG" else "")
    return next((port for port, name in PRODUCTS.items() if name == product), 0)


def _place(text: str) -> Target | None:
    for rx in _PLACES:
        match = rx.search(text)
        if match is None:
            continue
        given = match.groupdict()
        if given.get("path"):
            return Target.unix(given["path"])
        port = int(given.get("port") or 0)
        if port <= 65535:
            return Target.parse(f"{given['host']}:{port}" if port else given["host"])
    return None
