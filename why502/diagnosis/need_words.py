"""The words in which client libraries tell of a database, a cache, a queue or another service, by product, place and trouble."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

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
NAMED = (
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
    ("NATS", lazy(r"\bnats: |\bNATS\b|nats\.errors")),
    (
        "a service that it asks over HTTP",
        lazy(
            r"\bcURL error \d|\bhttpx\.|<urlopen error|\bAxiosError\b|\bHttpRequestException\b|\bFaraday::"
            r"|\bHttpHostConnectException"
        ),
    ),
    ("a database", lazy(r"\bPDO|SQLSTATE|(?i:sqlalchemy|queuepool|jdbc|hikari|activerecord|database is locked)")),
)
# Words that only one product's server sends. They count where neither the client library nor the address has told its name.
SPOKEN = (
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
            r"|\bCommunications link failure\b"
        ),
    ),
    (
        "Redis",
        lazy(r"\bNOAUTH Auth|\bWRONGPASS\b|\binvalid username-password pair|Client sent AUTH, but no password|\bCLUSTERDOWN\b"),
    ),
    ("RabbitMQ", lazy(r"Login was refused using authentication mechanism|\bACCESS_REFUSED\b|NOT_ALLOWED - (?:access to )?vhost")),
)
_HOST = r"(?P<host>\[[0-9a-fA-F:]+\]|::1(?=:\d)|[A-Za-z0-9][\w.-]*)"
FORWARDED = "the other end of systemd-socket-proxyd"  # its address is only in the command
PLACES = (
    lazy(rf"^connect {_HOST}:(?P<port>\d{{1,5}}): "),  # stunnel
    lazy(rf"^{_HOST}:(?P<port>\d{{1,5}}): TIMEOUTconnect exceeded"),
    lazy(rf"""(?i)(?:server at|host) ["'(]{_HOST}["')]*(?: \([\d.:a-f]+\))?,? port (?P<port>\d{{1,5}})"""),
    lazy(rf"""(?i)\bhost=["']{_HOST}["'], ?port=(?P<port>\d{{1,5}})"""),
    lazy(rf"""(?i)\bhost[:=]{_HOST}\)?,? ?\(?port[:=](?P<port>\d{{1,5}})"""),  # MariaDB Connector/J
    lazy(r"""(?i)(?:socket|through socket|unix:|at|on):? ?["'(]*(?P<path>/[\w./-]*(?:\.sock\w*|\.s\.PGSQL\.\d+))"""),
    lazy(rf"""(?i)(?:ECONNREFUSED|ETIMEDOUT|EHOSTUNREACH|ECONNRESET|ENETUNREACH) {_HOST}:(?P<port>\d{{1,5}})\b"""),
    lazy(r"""(?i)(?:ECONNREFUSED|ENOENT|EACCES) (?P<path>/\S+)"""),
    lazy(rf"""(?i)\bconnect\(2\) for ["']?{_HOST}["']?(?::| port )(?P<port>\d{{1,5}})\b"""),  # Ruby
    lazy(rf"""(?i)\bfailed to connect to {_HOST} port (?P<port>\d{{1,5}})\b"""),  # curl
    lazy(rf"""\bfor url \(https?://{_HOST}:(?P<port>\d{{1,5}})\b"""),  # reqwest
    lazy(rf"""(?i)\b(?:refused|timed out|host) \({_HOST}:(?P<port>\d{{1,5}})\)"""),  # .NET
    lazy(rf"""\bipv[46]:{_HOST}:(?P<port>\d{{1,5}})\b"""),  # gRPC
    lazy(rf"""\[(?:tcp|tls)://{_HOST}:(?P<port>\d{{1,5}})\]"""),  # Predis
    lazy(
        rf"""host "{_HOST}"(?: \([^)]{{1,64}}\))? and accepting\s{{1,4}}TCP/IP connections on port (?P<port>\d{{1,5}})"""
    ),  # libpq
    lazy(rf"""\bConnect call failed \(["']{_HOST}["'], (?P<port>\d{{1,5}})"""),  # asyncio
    lazy(rf"""\bCannot connect to host {_HOST}:(?P<port>\d{{1,5}})\b"""),  # aiohttp
    lazy(rf"""\(path: (?:tcp|tls)://{_HOST}:(?P<port>\d{{1,5}})"""),  # session.save_path of PHP
    lazy(rf"""(?i)\b(?:to|on|at|with|dial tcp:?|server) ["'(`]*(?:tcp://|https?://)?{_HOST}:(?P<port>\d{{2,5}})\b"""),
    lazy(rf"""(?i)(?:host ?name|server host|server on|ENOTFOUND|EAI_AGAIN|lookup|resolve host:) ["'(]*{_HOST}(?=["') ,]|$)"""),
)
POOL = "is slower than connections are released"  # message about the application's own pool of connections
UNTRUSTED = "has a certificate that does not verify"
ENDS = "ends its connections"
DOWN = (
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
            r"|no route to host|EHOSTUNREACH|\(execution expired\)"
            r"|TIMEOUTconnect exceeded|network is unreachable|dial tcp[^\n]{0,200}i/o timeout|could not connect to server"
        ),
    ),
    (
        "cannot be reached",  # in these words, clients do not say why
        lazy(
            r"(?i)\bcannot connect to host \S{1,255}:\d|can't reach database server|network-related or instance-specific error"
            r"|AMQPConnectionError|TNS:no listener|server login has been failing|pgbouncer cannot connect to server"
            r"|\bnpgsql\w{0,20}\b.{0,40}failed to connect to|ServerIsMarkedDead|error (?:3|35|47) from memcached_"
            r"|mongo\w{0,40}: .{0,80}(?:couldn't|could not) connect to server|\bcURL error 7\b|all connection attempts failed"
            r"|\bcan't connect to (?:local )?(?:mysql |mariadb )?server|NoBrokersAvailable|no servers available for connection"
            r"|Communications link failure|can't contact LDAP server|SMTP connect\(\) failed|could not connect to SMTP host"
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
            r"(?i)could not translate host name|getaddrinfo|name or service not known|name resolution|could not resolve host"
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
        UNTRUSTED,
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
UNPLACED = (  # client libraries and forwarders that name no address
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
    (
        "MySQL",
        "is not there",
        lazy(r"\(HY000/2002\): No such file or directory|SQLSTATE\[HY000\] \[2002\] No such file"),
    ),  # mysqli, libmysql's CR_CONNECTION_ERROR
    ("MySQL", "refuses connections", lazy(r"\(HY000/200[23]\): Connection refused")),
    (
        "MySQL",
        "does not answer connection attempts",
        lazy(r"\(HY000/200[23]\): (?:Connection timed out|Operation timed out)"),
    ),
    ("MySQL", "refuses connections", lazy(r"(?i)mysqli?_\w{0,40}exception\b.{0,60}connection refused")),
)
URL = lazy(
    r"(?P<scheme>[a-z][a-z0-9+]{1,20})://(?:[^@/\s]{0,200}@)?(?P<host>\[[0-9a-fA-F:]+\]|[\w.-]+)(?::(?P<port>\d{1,5}))?(?:[/?]|$)"
)
SCHEMES = {
    "postgres": 5432,
    "postgresql": 5432,
    "mysql": 3306,
    "mariadb": 3306,
    "redis": 6379,
    "mongodb": 27017,
    "amqp": 5672,
    "memcached": 11211,
}
HOST_NAME = lazy(
    r"(?<!\w)(?P<stem>\w{0,40}?(?:DB|DATABASE|PG|POSTGRES\w{0,16}|MYSQL|MARIADB|REDIS|MONGO\w{0,16}|MEMCACHED?|RABBIT\w{0,16}|AMQP|ELASTIC\w{0,16}|CACHE))_?(?:HOST|SERVER|ADDR)",
    re.IGNORECASE,
)
SLOW = (
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
OF_A_POOL = lazy(
    r"(?i)acquiring (?:a )?connection|connection is not available, request timed out|could not obtain a (?:database )?connection"
    r"|pool time-?out"
)


# Two processes that use one connection read each other's answers, and each one's TLS records fail the other's check.
MIXED = lazy(
    r"(?i)\bbad record mac\b|lost synchronization with server|message type 0x[0-9a-f]{2} arrived from server while idle"
    r"|packet sequence number wrong|packets? out of (?:order|sequence)|commands out of sync|malformed packet"
    r"|PGRES_(?:TUPLES|COMMAND)_OK and no message from the libpq|unexpected response from server; first received character"
    r"|Protocol error, got \W{1,3}.{1,4} as reply type byte"
)
