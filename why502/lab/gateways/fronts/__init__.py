"""The fronts of gateway scenes: one module for each product, which `why502.lab.gateways.front.Front` describes."""
