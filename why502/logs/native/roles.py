"""What a value of a log line is of: the numbers of src/program.rs."""

TIME, STATUS, REQUEST, METHOD, URI, CLIENT, SERVER, ADDRESS, ANSWER, CONNECT, HEADER, RESPONSE, TOTAL, DATE = range(1, 15)
GROUP, KEY, WAIT, OTHER, LENGTH, MESSAGE, FOREIGN = 15, 16, 22, 24, 25, 26, 27
IS_NUMBER, IS_LIST = 1, 2  # flags of a field
IS_FAR = 4  # what begins the text behind it may stand in the value
IS_WORD = 8  # without quotes
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
    "group": GROUP,  # named where there is no address
    **{f"key{number or ''}": KEY + max(number - 1, 0) for number in (0, 2, 3, 4, 5, 6)},  # what else decides how a request ended
    "wait": WAIT,  # before the attempt, within the total
    "wait2": WAIT + 1,
    "other": OTHER,  # another time: the request took as long as lies between the two
    "took": 31,  # what lies between the two
    "length": LENGTH,  # of the response of an attempt
    "message": MESSAGE,
    "asker": 28,  # the client, the request and the target that a message names
    "asked": 29,
    "origin": 30,
}


def is_of_attempt(role: int) -> bool:
    """Return whether it may be a list, of one value for each attempt."""
    return ADDRESS <= role <= RESPONSE or role == LENGTH
