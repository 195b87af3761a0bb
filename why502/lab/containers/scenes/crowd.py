"""A machine with a hundred containers: the one that matters is found among them, in a few seconds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.lives import STOPPED, shop

OTHERS = 98
AT_ONCE = 8


def hundred(site: Site, is_broken: bool) -> None:
    """Stop the application of one shop among many containers of others."""
    shop(site)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: site.run(f"other-{number}", "sleep", "3600", networks=("shop_default",)), range(OTHERS)))
    if is_broken:
        site.call("stop", "-t", "1", "shop-api-1")
        site.fails()


SCENES = (Scene("hundred-containers", "somebody stopped one of a hundred", STOPPED, hundred),)
