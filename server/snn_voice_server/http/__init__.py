"""What goes over HTTP: routes, bodies, answers, errors, keys, traces."""
