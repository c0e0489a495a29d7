"""Ways of running a network, all with the same answer; see `choice.make_engine`."""
