"""The roles of values in a log line, by their numbers in src/program.rs."""

TIME, STATUS, REQUEST, METHOD, URI, CLIENT, SERVER, ADDRESS, ANSWER, CONNECT, HEADER, RESPONSE, TOTAL, DATE = range(1, 15)
GROUP, KEY, WAIT, OTHER, LENGTH, MESSAGE, FOREIGN = 15, 16, 22, 24, 25, 26, 27
IS_NUMBER, IS_LIST = 1, 2  # flags of a field
IS_FAR = 4  # the value may contain the first byte of the text after it
IS_WORD = 8  # not quoted
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
    "total": TOTAL,  # of the whole request
    "group": GROUP,  # used when there is no address
    # Other values that determine how a request ended
    **{f"key{number or ''}": KEY + max(number - 1, 0) for number in (0, 2, 3, 4, 5, 6)},
    "wait": WAIT,  # before the attempt, included in the total
    "wait2": WAIT + 1,
    "other": OTHER,  # another time: the duration is the difference between the two
    "took": 31,  # the difference between the two
    "thread": 31,  # of a line that is not a request
    "length": LENGTH,  # of the response of an attempt
    "message": MESSAGE,
    "asker": 28,  # the client, the request and the target in a message
    "asked": 29,
    "origin": 30,
}


def is_of_attempt(role: int) -> bool:
    """Return whether it may be a list with one value per attempt."""
    return ADDRESS <= role <= RESPONSE or role == LENGTH
