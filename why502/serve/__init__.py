"""`why502 serve`: the incidents of `why502 watch`, and what the commands can do, in a browser. Nothing here changes the machine.

`app.application` makes the application. A page is a module of `pages` with `ROUTES` and, if it belongs in the menu, `NAVIGATION`;
a part of the JSON API is a module of `api` with `ROUTES`. Both are found by the directory.
"""
