"""Juggler: train wide, deploy flat, know what it costs, watch the network with it."""
