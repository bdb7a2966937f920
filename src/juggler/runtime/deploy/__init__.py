"""From a trained wide network to the file that runs: flatten, certify, export, check, write."""
