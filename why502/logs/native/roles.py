"""What a value of a log line is of: the numbers of src/program.rs."""

TIME, STATUS, REQUEST, METHOD, URI, CLIENT, SERVER, ADDRESS, ANSWER, CONNECT, HEADER, RESPONSE, TOTAL, DATE = range(1, 15)
KEY, WAIT = 16, 22
IS_NUMBER, IS_LIST = 1, 2  # flags of a field
BY_NAME = {
    "time": TIME,
    "date": DATE,
    "status": STATUS,
    "request": REQUEST,
    "method": METHOD,
    "uri": URI,
    "client": CLIENT,
    "server": SERVER,
    "address": ADDRESS,  # of an attempt
    "answer": ANSWER,  # its status
    "connect": CONNECT,  # its times
    "header": HEADER,
    "response": RESPONSE,
    "total": TOTAL,  # of the request
    "key": KEY,  # what else decides how a request ended
    "key2": KEY + 1,
    "key3": KEY + 2,
    "wait": WAIT,  # before the attempt, within the total
    "wait2": WAIT + 1,
}


def is_of_attempt(role: int) -> bool:
    """Return whether it may be a list, of one value for each attempt."""
    return ADDRESS <= role <= RESPONSE
