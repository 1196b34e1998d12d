import numpy as np, sys, gguf
# a bigram model: every layer adds nothing, so the next token depends on the last one alone
# answers: further scripts, each with the special token that it follows; ffn, blocks: the size of the layers, which are zero and only take time
def build(path, script, loop=None, template=None, specials=("<|user|>","<|assistant|>","<|system|>","<|end|>","<|tool|>"), name="scripted", ctx=131072, answers=(), ffn=64, blocks=1):
    toks=[("<unk>",0.0,2),("<s>",0.0,3),("</s>",0.0,3)]
    toks+=[(f"<0x{i:02X}>",0.0,6) for i in range(256)]
    for s in specials: toks.append((s,0.0,3))
    seen={}
    for t,_,_ in toks: seen[t]=len(seen)
    def add(script):
        ids=[]
        for piece in script:
            if isinstance(piece,int): ids.append(3+piece); continue
            p=piece.replace(" ","\u2581")
            if p not in seen:
                seen[p]=len(toks); toks.append((p,-1.0,1))
            ids.append(seen[p])
        return ids
    ids=add(script); more=[(seen[special],add(pieces)) for special,pieces in answers]
    if len(set(ids))!=len(ids): print("warn: repeated tokens in", path)
    # filler characters, so prompts tokenize to something
    for c in "\u2581abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789?.,!":
        if c not in seen: seen[c]=len(toks); toks.append((c,-10.0,1))
    V=len(toks); pad=(-V)%32
    for i in range(pad): toks.append((f"<pad{i}>",0.0,5))
    V=len(toks); D=V if V%64==0 else V+(64-V%64)
    nh=D//64
    W=np.zeros((V,D),dtype=np.float32)
    eos=2; nxt={}
    for a,b in zip(ids,ids[1:]): nxt[a]=b
    nxt[ids[-1]]= ids[loop] if loop is not None else eos
    for start,piece_ids in more:
        for a,b in zip([start,*piece_ids],[*piece_ids,eos]): nxt[a]=b
    for i in range(V): W[nxt.get(i, ids[0]), i]=8.0
    E=np.zeros((V,D),dtype=np.float32); E[np.arange(V),np.arange(V)]=1.0
    w=gguf.GGUFWriter(path,"llama")
    w.add_name(name); w.add_context_length(ctx); w.add_embedding_length(D); w.add_block_count(blocks)
    w.add_feed_forward_length(ffn); w.add_head_count(nh); w.add_head_count_kv(nh); w.add_rope_dimension_count(64)
    w.add_layer_norm_rms_eps(1e-6); w.add_vocab_size(V); w.add_file_type(0)
    w.add_tokenizer_model("llama"); w.add_tokenizer_pre("default")
    w.add_token_list([t[0].encode() for t in toks]); w.add_token_scores([t[1] for t in toks]); w.add_token_types([t[2] for t in toks])
    w.add_bos_token_id(1); w.add_eos_token_id(2); w.add_unk_token_id(0); w.add_add_bos_token(True); w.add_add_space_prefix(False)
    if template: w.add_chat_template(template)
    w.add_tensor("token_embd.weight",E); w.add_tensor("output.weight",W); w.add_tensor("output_norm.weight",np.ones(D,dtype=np.float32))
    z=lambda *s: np.zeros(s,dtype=np.float32)
    for i in range(blocks):
        for n,s in dict(attn_q=(D,D),attn_k=(D,D),attn_v=(D,D),attn_output=(D,D),ffn_gate=(ffn,D),ffn_up=(ffn,D),ffn_down=(D,ffn)).items(): w.add_tensor(f"blk.{i}.{n}.weight",z(*s))
        for n in ("attn_norm","ffn_norm"): w.add_tensor(f"blk.{i}.{n}.weight",np.ones(D,dtype=np.float32))
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
    print(path,V,D)
if __name__=="__main__":
    words="The sky is blue because air scatters short waves of sunlight far more than long ones so wherever you look that scattered light arrives from every direction at once and our eyes which care little for violet call it blue while at dusk its path grows longer leaving red".split()
    u=[]; 
    for x in words:
        if x not in u: u.append(x)
    tmpl="{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    build("sky.gguf",[u[0]]+[" "+x for x in u[1:]]+["."],template=tmpl)
    build("endless.gguf",[u[0]]+[" "+x for x in u[1:]]+["."],loop=1,template=tmpl)
    # characters cut over several tokens
    build("utf8.gguf",["Caf",0xC3,0xA9,", ",0xE4,0xB8,0xAD,"\u6587"," and ",0xF0,0x9F,0x98,0x80," end"],template=tmpl)
    # thinking
    tt="""{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' and m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"""
    build("think.gguf",["<think>","\nLet"," me"," see",": Rayleigh","</think>","\n\nBecause"," of"," scattering"],template=tt)
    # a tool call in the Hermes form
    tool="""{{ bos_token }}{% if tools %}<|system|># Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>{% for t in tools %}
{{ t | tojson }}{% endfor %}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|end|>{% endif %}{% for m in messages %}<|{{ m.role }}|>{% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"""
    build("tool.gguf",["<tool_call>","\n","{\"","name","\":"," \"","get","_weather","\", ","\"arguments","\": ","{\"city","\" : \"","Par","is","\",\"unit\":","\"c\"}","}","\n</","tool_call",">"],template=tool)
    build("json.gguf",["{\"","city","\": ","\"Par","is\",", " \"","celsius","\":"," 21","}"],template=tmpl)
    build("repeat.gguf",["Ha"," ha"],loop=1,template=tmpl)
