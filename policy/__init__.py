"""The policy pack: what no environment may deploy, whatever its settings and the program say."""
