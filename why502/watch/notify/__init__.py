"""Those who are notified of incidents: one package for each kind of receiver, found by its directory.

`<kind>/settings.py` has the keys of the kind; `<kind>/receiver.py` has `make(settings)`, which returns its receivers.
"""
