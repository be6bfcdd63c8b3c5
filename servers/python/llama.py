"""llama.cpp's own server, on 127.0.0.1, until standard input closes: `python llama.py OPTIONS`, a JSON object.

`model` is a file, `alias` its name, `key` the only one that is let in, `context` in tokens, `port` 0 for any that is free.
With `embedding` it gives vectors. It says where it listens in its first line.
"""

import json
import sys

import xllamacpp

options = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path = options["model"]
params.model_alias = {options["alias"]}
params.api_keys = [options["key"]]
params.n_ctx = options["context"]
params.port = options["port"]
# One request after another, on one core, without a look at what the machine could do.
params.n_parallel = 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.fit_params = params.warmup = False
params.cache_ram_mib = 0
params.verbosity = 1
if options["embedding"]:
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN

server = xllamacpp.Server(params)
print(f"listening on {server.listening_address}", flush=True)
sys.stdin.read()
