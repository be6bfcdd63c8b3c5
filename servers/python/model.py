"""Writes the weights of a model that counts, for llama.cpp: `python model.py FILE`.

After "one" it says " two", and so on to " twelve", and then it ends; after anything else it begins with " one". So it is known
what every server has to answer, whatever it runs on. Some 300 KB; nothing of it was learned.
"""

import sys

import numpy as np
from gguf import GGUFWriter, PoolingType, TokenType

WIDTH, HEADS, CONTEXT = 64, 4, 131072
SPACE = "\u2581"
WORDS = [SPACE + word for word in "one two three four five six seven eight nine ten eleven twelve".split()]
CALL, OPEN = SPACE + "call", "<tool_call>"
END = "</s>"
CHAIN = [*WORDS, END]

# What stands before a letter is for the tokenizer: it puts words together from their beginnings.
HIDDEN = ["<unk>", "<s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
LETTERS = [SPACE] + [chr(code) for code in range(33, 127)]
BEGINNINGS = sorted({word[:end] for word in [*WORDS, CALL] for end in range(2, len(word) + 1)})
TOKENS = [*HIDDEN, END, OPEN, *LETTERS, *BEGINNINGS]
PLACE = {token: place for place, token in enumerate(TOKENS)}


def kind(token: str) -> TokenType:
    if token == "<unk>":
        return TokenType.UNKNOWN
    if token in ("<s>", END):
        return TokenType.CONTROL
    if token == OPEN:
        return TokenType.USER_DEFINED
    return TokenType.BYTE if token in HIDDEN else TokenType.NORMAL


# Tools are shown and called as Hermes' models have it. With tools, the model says a call first, and the grammar of the
# server, which knows the tools, says the rest.
TEMPLATE = """\
{%- if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>{% endif -%}
{%- for message in messages -%}
{%- if message.role == "assistant" and message.tool_calls -%}
{%- for call in message.tool_calls -%}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor -%}
{%- else %} {{ message.content }}{% endif -%}
{%- endfor -%}
{%- if tools and messages[-1].role != "tool" %} call{% endif -%}
"""

chance = np.random.default_rng(1)


def noise(rows: int) -> np.ndarray:
    return (chance.standard_normal((rows, WIDTH)) * 0.02).astype(np.float32)


# The first number of every token is 1, so that the output has a bias: it keeps what is hidden from being said, and lets a
# count begin. The others are chance, and say which token it is.
meaning = chance.standard_normal((len(TOKENS), WIDTH)).astype(np.float32)
meaning[:, 0] = 1
said = noise(len(TOKENS))
said[:, 0] = [-12 if token in HIDDEN or token == OPEN else 0 for token in TOKENS]
said[PLACE[WORDS[0]], 0] = 6


def follows(token: str, next_token: str, weight: float) -> None:
    said[PLACE[next_token], 1:] += weight / WIDTH * meaning[PLACE[token], 1:]


for token, next_token in zip(CHAIN, CHAIN[1:]):
    follows(token, next_token, 16)
# Who bans the end gets an endless count.
follows(WORDS[-1], WORDS[0], 6)
follows(CALL, OPEN, 40)
# A call ends like this, and one is enough.
follows(">", END, 40)

file = GGUFWriter(sys.argv[1], "llama")
file.add_name("counter")
file.add_context_length(CONTEXT)
file.add_embedding_length(WIDTH)
file.add_feed_forward_length(WIDTH)
file.add_block_count(1)
file.add_head_count(HEADS)
file.add_head_count_kv(HEADS)
file.add_rope_dimension_count(WIDTH // HEADS)
file.add_layer_norm_rms_eps(1e-5)
file.add_vocab_size(len(TOKENS))
file.add_tokenizer_model("llama")
file.add_token_list(TOKENS)
file.add_token_scores([float(len(token)) for token in TOKENS])
file.add_token_types([kind(token) for token in TOKENS])
file.add_unk_token_id(PLACE["<unk>"])
file.add_bos_token_id(PLACE["<s>"])
file.add_eos_token_id(PLACE[END])
file.add_add_space_prefix(True)
file.add_pooling_type(PoolingType.MEAN)
file.add_chat_template(TEMPLATE)
file.add_tensor("token_embd.weight", meaning)
file.add_tensor("output.weight", said)
for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"]:
    file.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]:
    file.add_tensor(f"blk.0.{name}.weight", noise(WIDTH))
file.write_header_to_file()
file.write_kv_data_to_file()
file.write_tensors_to_file()
file.close()
