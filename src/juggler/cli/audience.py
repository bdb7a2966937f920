"""Who uses a verb: the groups of `juggler --help`, in its order. A verb's file says `PANEL = NETWORK`."""

EVERYONE = "Everyone"
NETWORK = "Your network is too slow"
HARDWARE = "You choose a device, or have it not yet"
PLANT = "You guard a network"
OTHERS = "Of other packages"
PANELS = (EVERYONE, NETWORK, HARDWARE, PLANT, OTHERS)
