"""A campaign over many machines, one worker a device."""
