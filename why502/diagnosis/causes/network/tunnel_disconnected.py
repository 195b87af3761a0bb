"""The tunnel agent between the gateway and the origin is not connected.

Cloudflare shows 1033 (530), ngrok shows ERR_NGROK_3200. An `ssh -R` session that ended has the same effect.

## Do not confuse with
- `backend-not-running`: the agent runs but cannot reach the origin (502 with a Go error).

## Confirm
- Check the agent's status and log (`cloudflared tunnel info`, `systemctl status cloudflared`).

## Fix
- Start the agent under a service manager that restarts it.

## References
- https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="tunnel-disconnected",
    layer=Layer.NETWORK,
    message="the tunnel agent between gateway and origin is not connected",
    symptoms={Symptom.TUNNEL_DOWN: PROOF},
)
