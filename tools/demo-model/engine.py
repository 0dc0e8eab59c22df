"""llama.cpp by its C interface, for the evaluation: the library that cchat fetches, the file that is shipped, one thread, greedy."""
import ctypes
import glob
import os

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "confidentialchat", "engine")

# Parameters pass by value: 80 and 160 bytes in llama.cpp 0.5.0. Of them only these are set, by their offsets.
MODEL_PARAMETERS, CONTEXT_PARAMETERS = ctypes.c_byte * 80, ctypes.c_byte * 160


class ModelParameters(ctypes.Structure):
    _fields_ = [("bytes", MODEL_PARAMETERS)]


class ContextParameters(ctypes.Structure):
    _fields_ = [("context", ctypes.c_uint32), ("batch", ctypes.c_uint32), ("micro_batch", ctypes.c_uint32), ("sequences", ctypes.c_uint32),
                ("snapshots", ctypes.c_uint32), ("outputs", ctypes.c_uint32), ("outputs_per_sequence", ctypes.c_uint32),
                ("threads", ctypes.c_int32), ("threads_batch", ctypes.c_int32), ("rest", ctypes.c_byte * 124)]


class Batch(ctypes.Structure):
    _fields_ = [("count", ctypes.c_int32), ("tokens", ctypes.POINTER(ctypes.c_int32)), ("embeddings", ctypes.c_void_p), ("positions", ctypes.c_void_p),
                ("sequence_counts", ctypes.c_void_p), ("sequences", ctypes.c_void_p), ("outputs", ctypes.c_void_p)]


class Engine:
    def __init__(self, model, context=512, directory=None):
        directories = [directory] if directory else sorted(glob.glob(os.path.join(CACHE, "*")))
        libraries = [found for one in directories for found in glob.glob(os.path.join(one, "libllama.*so*"))]
        if not libraries:
            raise SystemExit("error: llama.cpp's library is not there\nhint: run ./cchat demo once, which fetches it, or name it with --engine-dir")
        directory = os.path.dirname(libraries[-1])
        load = lambda name: ctypes.CDLL(glob.glob(os.path.join(directory, name))[0], mode=ctypes.RTLD_GLOBAL)
        load("libggml-base.so*")
        ggml = load("libggml.*so*")
        self.llama = llama = load("libllama.*so*")
        ggml.ggml_backend_load_all_from_path(directory.encode())
        self.silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        llama.llama_log_set(self.silent, None)
        llama.llama_model_default_params.restype = ModelParameters
        llama.llama_context_default_params.restype = ContextParameters
        for name in ("llama_model_load_from_file", "llama_init_from_model", "llama_model_get_vocab", "llama_get_memory"):
            getattr(llama, name).restype = ctypes.c_void_p
        llama.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
        llama.llama_model_load_from_file.argtypes = [ctypes.c_char_p, ModelParameters]
        llama.llama_init_from_model.argtypes = [ctypes.c_void_p, ContextParameters]
        llama.llama_decode.argtypes = [ctypes.c_void_p, Batch]
        llama.llama_memory_clear.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        llama.llama_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_bool, ctypes.c_bool]
        for name, count in (("llama_model_get_vocab", 1), ("llama_get_memory", 1)):
            getattr(llama, name).argtypes = [ctypes.c_void_p] * count
        llama.llama_get_logits_ith.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        llama.llama_vocab_n_tokens.argtypes = [ctypes.c_void_p]
        self.model = llama.llama_model_load_from_file(os.fsencode(model), llama.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"error: llama.cpp does not load {model}")
        parameters = llama.llama_context_default_params()
        parameters.context = parameters.batch = parameters.micro_batch = context
        parameters.threads = parameters.threads_batch = 1
        self.context = llama.llama_init_from_model(self.model, parameters)
        self.size = context
        self.vocabulary = llama.llama_model_get_vocab(self.model)
        self.count = llama.llama_vocab_n_tokens(self.vocabulary)

    def tokenize(self, text):
        data = text.encode()
        tokens = (ctypes.c_int32 * (len(data) + 8))()
        count = self.llama.llama_tokenize(self.vocabulary, data, len(data), tokens, len(tokens), False, False)
        return list(tokens[:count])

    def logits(self, tokens):
        """Of the token that follows these, which follow what was decoded before."""
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        code = self.llama.llama_decode(self.context, Batch(len(tokens), array))
        if code:
            raise RuntimeError(f"llama_decode: {code}")
        return self.llama.llama_get_logits_ith(self.context, -1)

    def forget(self):
        self.llama.llama_memory_clear(self.llama.llama_get_memory(self.context), True)
