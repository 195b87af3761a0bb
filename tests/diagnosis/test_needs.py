"""Application log messages about databases and caches, and environment variables that name them."""

from __future__ import annotations

import pytest

from why502.diagnosis.needs import is_refused_somewhere, named_in, need_of
from why502.model.target import Target

LOCAL = Target(host="127.0.0.1", port=5432)


@pytest.mark.parametrize(
    ("text", "name", "is_down"),
    [
        ('psycopg2.OperationalError: connection to server at "127.0.0.1", port 5432 failed: Connection refused',
        "PostgreSQL (127.0.0.1:5432)", True),
        (('PG::ConnectionBad: connection to server on socket "/run/postgresql/.s.PGSQL.5432" failed: No such file or '
                'directory'), "PostgreSQL (unix:/run/postgresql/.s.PGSQL.5432)", True),
        ("redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.",
        "Redis (localhost:6379)", True),
        ("Error: connect ECONNREFUSED 127.0.0.1:3306", "MySQL (127.0.0.1:3306)", True),
        ("dial tcp 10.0.0.9:8080: connect: connection refused", "10.0.0.9:8080", True),
        ("PHP Fatal error:  Uncaught mysqli_sql_exception: No such file or directory in /srv/index.php:3", "MySQL", True),
        ("PHP Warning:  mysqli_real_connect(): (HY000/2002): No such file or directory", "MySQL", True),
        ("PHP Warning:  mysqli_connect(): (HY000/2002): Connection refused in /srv/index.php on line 3", "MySQL", True),
        ("FATAL:  sorry, too many clients already (psycopg2)", "PostgreSQL", True),
        ("sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out", "a database", True),
        ("redis.exceptions.AuthenticationError: Authentication required.", "Redis", True),
        ("PHP Fatal error:  Uncaught mysqli_sql_exception: The table 'orders' is full in /srv/a.php:4", "MySQL", True),
        ('error: password authentication failed for user "shop"', "PostgreSQL", True),
        ("error: terminating connection due to administrator command", "PostgreSQL", True),
        ("error: sorry, too many clients already", "PostgreSQL", True),
        (('java.sql.SQLNonTransientConnectionException: Could not connect to address=(host=127.0.0.1)(port=3306)(type=master) '
                ': Socket fail to connect to host:127.0.0.1, port:3306. Connection refused'), "MySQL (127.0.0.1:3306)", True),
        ("Error: certificate has expired", "a service that it asks over TLS", True),
        ("psycopg2.OperationalError: SSL error: certificate verify failed", "PostgreSQL", True),
        ('PG::ConnectionBad - connection to server at "127.0.0.1", port 5432 failed: Connection refused',
        "PostgreSQL (127.0.0.1:5432)", True),
        ("TypeError: fetch failed", "a service that it asks over HTTP", True),
        ("httpx.ConnectError: All connection attempts failed", "a service that it asks over HTTP", True),
        ("AxiosError: connect ECONNREFUSED ::1:9000", "a service that it asks over HTTP ([::1]:9000)", True),
        ("Error: connect ECONNREFUSED ::1:5432", "PostgreSQL ([::1]:5432)", True),
        ("cURL error 7: Failed to connect to 127.0.0.1 port 9000 after 0 ms: Couldn't connect to server",
        "a service that it asks over HTTP (127.0.0.1:9000)", True),
        ("cURL error 6: Could not resolve host: api.internal", "a service that it asks over HTTP (api.internal)", True),
        ("cURL error 28: Operation timed out after 5001 milliseconds", "a service that it asks over HTTP", False),
        ("error sending request for url (http://127.0.0.1:9000/): tcp connect error: Connection refused (os error 111)",
        "127.0.0.1:9000", True),
        ("System.Net.Http.HttpRequestException: Connection refused (127.0.0.1:5000)",
        "a service that it asks over HTTP (127.0.0.1:5000)", True),
        (("failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:50051: Failed to connect to remote host: "
                "Connection refused"), "127.0.0.1:50051", True),
        ('Errno::ECONNREFUSED: Connection refused - connect(2) for "127.0.0.1" port 6379', "Redis (127.0.0.1:6379)", True),
        ("Errno::EHOSTUNREACH: No route to host - connect(2) for 10.0.0.9:5432", "PostgreSQL (10.0.0.9:5432)", True),
        ("Predis\\Connection\\ConnectionException: Connection refused [tcp://127.0.0.1:6379]", "Redis (127.0.0.1:6379)", True),
        ("Can't connect to MySQL server on '127.0.0.1' (115)", "MySQL (127.0.0.1)", True),
        ("SQLSTATE[HY000] [2002] No such file or directory", "MySQL", True),
        (('could not connect to server: Connection refused Is the server running on host "127.0.0.1" and accepting TCP/IP '
                'connections on port 5432?'), "PostgreSQL (127.0.0.1:5432)", True),
        ("nats: no servers available for connection", "NATS", True),
        ("kafka.errors.NoBrokersAvailable: NoBrokersAvailable", "Kafka", True),
        ("Communications link failure", "MySQL", True),
        ("ldap.SERVER_DOWN: {'desc': \"Can't contact LDAP server\"}", "LDAP", True),
        ("SMTP connect() failed", "the mail server", True),
        ("ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 9093)", "127.0.0.1:9093", True),
        (("aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 127.0.0.1:9093 ssl:default [Connect call "
                "failed ('127.0.0.1', 9093)]"), "127.0.0.1:9093", True),
        ("PHP Fatal error:  Uncaught RedisException: Permission denied in /srv/cloud/lib/Cache.php:31", "Redis", True),
        ("redis.exceptions.ConnectionError: Error 13 connecting to unix socket: /run/redis/redis.sock. Permission denied.",
        "Redis (unix:/run/redis/redis.sock)", True),
        ("Error: connect EACCES /run/mysqld/mysqld.sock", "MySQL (unix:/run/mysqld/mysqld.sock)", True),
        ("PHP Warning:  mysqli_connect(): (HY000/2002): Permission denied in /srv/a.php on line 3", "MySQL", True),
        ('PG::ConnectionBad: connection to server on socket "/run/postgresql/.s.PGSQL.5432" failed: Permission denied',
        "PostgreSQL (unix:/run/postgresql/.s.PGSQL.5432)", True),
        (('psycopg2.OperationalError: connection to server at "127.0.0.1", port 5432 failed: FATAL:  the database system is not '
                'accepting connections'), "PostgreSQL (127.0.0.1:5432)", True),
        ('FATAL:  database "shop" does not exist', "PostgreSQL", True),
        ("django.db.utils.OperationalError: (1049, \"Unknown database 'shop'\")", "MySQL", True),
        ("SQLSTATE[HY000] [1049] Unknown database 'shop'", "a database", True),
        ("pymysql.err.OperationalError: (1053, 'Server shutdown in progress')", "MySQL", True),
        ("Error 1040 (08004): Too many connections", "MySQL", True),
        ("Error: Connection lost: The server closed the connection.", "MySQL", True),
        ("MongoServerError: not primary", "MongoDB", True),
        ("redis.exceptions.ResponseError: CLUSTERDOWN Hash slot not served", "Redis", True),
        ("CLUSTERDOWN The cluster is down", "Redis", True),
        ("pika.exceptions.AMQPConnectionError", "RabbitMQ", True),
        ("kombu.exceptions.OperationalError: [Errno 111] Connection refused", "the message broker", True),
        ("PrismaClientInitializationError: Can't reach database server at `localhost:5432`", "PostgreSQL (localhost:5432)", True),
        ("ERROR: cannot execute INSERT in a read-only transaction", "PostgreSQL", True),
        ("ActiveRecord::NoDatabaseError: We could not find your database: shop", "a database", True),
        ("Memcached::ServerIsMarkedDead", "memcached", True),
        ("pylibmc.ConnectionError: error 3 from memcached_set", "memcached", True),
        ("smtplib.SMTPServerDisconnected: Connection unexpectedly closed", "the mail server", True),
        ("ORA-12541: TNS:no listener", "Oracle", True),
        ("System.Data.SqlClient.SqlException: A network-related or instance-specific error occurred", "SQL Server", True),
        ("Npgsql.NpgsqlException (0x80004005): Failed to connect to 127.0.0.1:5432", "PostgreSQL (127.0.0.1:5432)", True),
        ("FATAL:  server login has been failing, try again later (server_login_retry)", "PostgreSQL", True),
        ("FATAL:  no more connections allowed (max_client_conn)", "PostgreSQL", True),
        ("psycopg2.errors.LockNotAvailable: canceling statement due to lock timeout", "PostgreSQL", False),
        ("requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='api.example.com', port=443): Read timed out.",
        "api.example.com:443", False),
    ],
)  # fmt: skip
def test_words_of_client_libraries(text: str, name: str, is_down: bool) -> None:
    need = need_of(text)
    assert need is not None
    assert (need.name, need.is_down) == (name, is_down)


@pytest.mark.parametrize(
    ("text", "product"),
    [
        ('psycopg2.OperationalError: FATAL:  Peer authentication failed for user "shop"', "PostgreSQL"),
        ('FATAL:  Ident authentication failed for user "shop"', "PostgreSQL"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "shop", database "shop"', "PostgreSQL"),
        ('error: pg_hba.conf rejects connection for host "10.0.0.1", user "shop"', "PostgreSQL"),
        ('PG::ConnectionBad: FATAL:  role "shop" does not exist', "PostgreSQL"),
        ("psycopg2.OperationalError: fe_sendauth: no password supplied", "PostgreSQL"),
        ("java.sql.SQLException: Access denied for user 'shop'@'localhost' (using password: YES)", "MySQL"),
        ("pymysql.err.OperationalError: (1130, \"Host 'web' is not allowed to connect to this MariaDB server\")", "MySQL"),
        ("redis.exceptions.AuthenticationError: invalid username-password pair or user is disabled.", "Redis"),
        ("ReplyError: WRONGPASS invalid username-password pair or user is disabled.", "Redis"),
        ("ReplyError: NOAUTH Authentication required.", "Redis"),
        ("pymongo.errors.OperationFailure: Authentication failed., full error: {'ok': 0.0, 'code': 18}", "MongoDB"),
        ("pymongo.errors.OperationFailure: command find requires authentication", "MongoDB"),
        ('Error: Handshake terminated by server: 403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - Login was refused"',
        "RabbitMQ"),
        ("pika.exceptions.ConnectionClosedByBroker: (530, \"NOT_ALLOWED - access to vhost 'a' refused for user 'b'\")",
        "RabbitMQ"),
        ("Dalli::DalliError: Error authenticating: 32", "memcached"),
        ("pylibmc.Error: error 40 from memcached_set: AUTHENTICATION FAILURE", "memcached"),
        ("ldap.INVALID_CREDENTIALS: {'result': 97, 'desc': 'Invalid credentials'}", "LDAP"),
        ("javax.naming.AuthenticationException: [LDAP: error code 49 - 80090308: LdapErr]", "LDAP"),
        ("smtplib.SMTPAuthenticationError: (535, b'5.7.8 Error: authentication failed')", "the mail server"),
        ("Error: Invalid login: 535-5.7.8 Username and Password not accepted", "the mail server"),
        ("SMTP Error: Could not authenticate.", "the mail server"),
    ],
)  # fmt: skip
def test_a_refused_login(text: str, product: str) -> None:
    need = need_of(text)
    assert need is not None
    assert (need.product, need.how, need.is_down) == (product, "rejects the login", True)


@pytest.mark.parametrize(
    "text",
    [
        "rest_framework.exceptions.AuthenticationFailed: Authentication failed.",
        "Error: invalid credentials",
        "PermissionDenied: the page requires authentication",
        "TypeError: role admin does not exist",
        "KeyError: 'DATABASE_URL'",
        "PHP Warning:  mysqli_query(): (HY000/1146): Table 'shop.x' doesn't exist",
        "Connection in use: ('127.0.0.1', 8000)",
        "ConnectionRefusedError: [Errno 111] Connection refused",
        "",
    ],
)
def test_words_that_name_nothing(text: str) -> None:
    assert need_of(text) is None


@pytest.mark.parametrize(
    ("environment", "targets"),
    [
        ({"DATABASE_URL": "postgres://user:p%40ss@127.0.0.1/shop"}, {LOCAL: "DATABASE_URL"}),
        ({"SQLALCHEMY_URL": "postgresql+psycopg2://u:p@localhost:5432/x"}, {LOCAL: "SQLALCHEMY_URL"}),
        ({"REDIS_URL": "redis://cache:6380/0"}, {Target(host="cache", port=6380): "REDIS_URL"}),
        ({"DB_HOST": "127.0.0.1", "DB_PORT": "5432", "DB_PASSWORD": "x"}, {LOCAL: "DB_HOST"}),
        ({"PGHOST": "127.0.0.1"}, {LOCAL: "PGHOST"}),
        ({"MYSQL_HOST": "10.0.0.7"}, {Target(host="10.0.0.7", port=3306): "MYSQL_HOST"}),
        ({"PORT": "3000", "HOST": "0.0.0.0", "HOMEPAGE": "https://example.com/", "DB_HOST": "/run/postgresql"}, {}),
        ({"REDIS_URL": "redis://cache:99999999/0", "DB_HOST": "x y", "CACHE_HOST": ""}, {}),
    ],
)
def test_variables_that_name_a_database(environment: dict[str, str], targets: dict[Target, str]) -> None:
    assert named_in(environment) == targets


@pytest.mark.parametrize(
    ("text", "name", "how"),
    [
        ("PHP Fatal error:  Uncaught RedisException: BUSY Redis is busy running a script.", "Redis", "is busy"),
        ("[ErrorReply: NOPERM this user has no permissions to run the 'incr' command]", "Redis", "does not permit"),
        ("psycopg2.errors.InsufficientPrivilege: permission denied for table orders", "PostgreSQL", "does not permit"),
        (
            "psycopg2.errors.ConfigurationLimitExceeded: temporary file size exceeds temp_file_limit (256kB)",
            "PostgreSQL",
            "has no room",
        ),
        ("mysqli_sql_exception: Incorrect key file for table './shop/visits.MYI'; try to repair it", "MySQL", "has a damaged"),
    ],
)
def test_a_dependency_that_answers_with_a_refusal(text: str, name: str, how: str) -> None:
    need = need_of(text)
    assert need is not None
    assert need.name == name
    assert need.how.startswith(how)
    assert need.is_down


def test_a_refused_connection_without_an_address() -> None:
    assert is_refused_somewhere("java.net.ConnectException: Connection refused")
    assert not is_refused_somewhere("Error: connect ECONNREFUSED 127.0.0.1:3306")
    assert not is_refused_somewhere("java.lang.IllegalStateException: no such order")
