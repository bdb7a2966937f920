"""What reads energy, one file each: `METER`."""
