"""Runs llama.cpp's HTTP server until standard input ends. The argument is a JSON object of parameters; prints the address."""

import json
import sys

import xllamacpp

parameters = xllamacpp.CommonParams()
settings = json.loads(sys.argv[1])
parameters.model.path = settings.pop("model")
parameters.hostnames = ["127.0.0.1"]
parameters.port = 0
parameters.cpuparams.n_threads = 1
parameters.use_jinja = True
parameters.endpoint_slots = True
for name, value in settings.items():
    setattr(parameters, name, value)

server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
