"""From a module to a graph that rules can read: tracers, exported programs, element types."""
