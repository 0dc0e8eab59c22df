"""From weights in torch to a GGUF file that llama.cpp loads."""
import numpy

import gguf

NAME = "demo"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def write(path, model, tokenizer):
    shape = model.shape
    metadata = {
        "general.architecture": "llama",
        "general.name": NAME,
        "general.license": "Apache-2.0",
        "general.author": "the ConfidentialChat authors",
        "general.description": "A small demonstration model, trained from nothing by tools/demo-model",
        "general.file_type": 7,  # mostly Q8_0
        "llama.context_length": shape.context,
        "llama.embedding_length": shape.width,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.heads,
        "llama.attention.key_length": shape.head,
        "llama.attention.value_length": shape.head,
        "llama.rope.dimension_count": shape.head,
        "llama.rope.freq_base": shape.rope_base,
        "llama.attention.layer_norm_rms_epsilon": shape.epsilon,
        "llama.vocab_size": len(tokenizer.texts),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokenizer.texts,
        "tokenizer.ggml.token_type": tokenizer.types,
        "tokenizer.ggml.merges": [f"{left} {right}" for left, right in tokenizer.merges],
        "tokenizer.ggml.eos_token_id": tokenizer.end,
        "tokenizer.ggml.eot_token_id": tokenizer.end,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    gains = numpy.ones(shape.width, numpy.float32)
    tensors = {"token_embd.weight": weights["embedding.weight"], "output_norm.weight": gains}
    for i in range(shape.layers):
        q, k, v = numpy.split(weights[f"layers.{i}.qkv.weight"], 3)
        gate, up = numpy.split(weights[f"layers.{i}.gate_up.weight"], 2)
        for name, array in {
            "attn_norm": gains, "attn_q": q, "attn_k": k, "attn_v": v, "attn_output": weights[f"layers.{i}.attn_output.weight"],
            "ffn_norm": gains, "ffn_gate": gate, "ffn_up": up, "ffn_down": weights[f"layers.{i}.ffn_down.weight"],
        }.items():
            tensors[f"blk.{i}.{name}.weight"] = array
    gguf.write(path, metadata, tensors)
