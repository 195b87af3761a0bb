"""why502: why does my reverse proxy return 502?"""

__version__ = "0.1.0"
