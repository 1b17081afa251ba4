"""Errors as servers send them: status, body, and what each of them means."""

from typing import Any, NamedTuple

from orchestrator.agents.error_table import Kind


class Sent(NamedTuple):
    """One error of a server."""

    server: str
    kind: Kind
    status: int
    body: Any


def _openai(
    message: str, code: object = None, kind: str = "invalid_request_error"
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _vllm(message: str, code: int = 400, kind: str = "BadRequestError") -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def _gemini(code: int, message: str, status: str) -> list[dict[str, Any]]:
    return [{"error": {"code": code, "message": message, "status": status}}]


def _anthropic(message: str, kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _routed(code: int, raw: str) -> dict[str, Any]:
    metadata = {"raw": raw, "provider_name": "Other"}
    return {"error": {"message": "Provider returned error", "code": code, "metadata": metadata}}


_PLAN = "You exceeded your current quota, please check your plan and billing details."

TOO_LONG = (
    Sent("openai", Kind.TOO_LONG, 400, _openai(
        "This model's maximum context length is 8192 tokens. However, your messages resulted in "
        "10000 tokens. Please reduce the length of the messages.", "context_length_exceeded")),
    Sent("openai input", Kind.TOO_LONG, 400, _openai(
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in "
        "300000 tokens. Please reduce the length of the messages.", "context_length_exceeded")),
    Sent("openai window", Kind.TOO_LONG, 400, _openai(
        "Your input exceeds the context window of this model. Please adjust your input.")),
    Sent("openai string", Kind.TOO_LONG, 400, _openai(
        "Invalid 'messages[1].content': string too long. Expected a string with maximum length "
        "1048576, but got a string with length 1100000 instead.", "string_above_max_length")),
    Sent("openai tpm", Kind.TOO_LONG, 429, _openai(
        "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, "
        "Requested 36278. The input or output tokens must be reduced.", "rate_limit_exceeded",
        "tokens")),
    Sent("groq tpm", Kind.TOO_LONG, 413, _openai(
        "Request too large for model `llama` on tokens per minute (TPM): Limit 6,000, Requested "
        "9,001, please reduce your message size and try again.", "rate_limit_exceeded", "tokens")),
    Sent("groq", Kind.TOO_LONG, 400, _openai(
        "Please reduce the length of the messages or completion.", "context_length_exceeded")),
    Sent("vllm", Kind.TOO_LONG, 400, _vllm(
        "The decoder prompt (length 10127) is longer than the maximum model length of 8192. Make "
        "sure that `max_model_len` is no smaller than the number of text tokens.")),
    Sent("vllm new", Kind.TOO_LONG, 400, _vllm(
        "You passed 9000 input tokens and requested 100 output tokens. However, the model's context "
        "length is only 8192 tokens, resulting in a maximum input length of 8092 tokens. Please "
        "reduce the length of the input prompt.")),
    Sent("sglang", Kind.TOO_LONG, 400, _vllm(
        "The input (61709 tokens) is longer than the model's context length (40960 tokens).")),
    Sent("sglang length", Kind.TOO_LONG, 400, _vllm(
        "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens).")),
    Sent("sglang count", Kind.TOO_LONG, 400, _vllm(
        "Requested token count exceeds the model's maximum context length of 8192 tokens.")),
    Sent("llama.cpp 500", Kind.TOO_LONG, 500, {"error": {
        "code": 500, "message": "the request exceeds the available context size. try increasing the "
        "context size or enable context shift", "type": "exceed_context_size_error"}}),
    Sent("llama.cpp context", Kind.TOO_LONG, 500, {"error": {
        "code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}),
    Sent("llama.cpp batch", Kind.TOO_LONG, 500, {"error": {
        "code": 500, "message": "input is too large to process. increase the physical batch size",
        "type": "server_error"}}),
    Sent("llama-cpp-python", Kind.TOO_LONG, 400, _openai(
        "Requested tokens (5000) exceed context window of 4096", None)),
    Sent("ollama", Kind.TOO_LONG, 500, {"error": "the input length exceeds the context length"}),
    Sent("ollama new", Kind.TOO_LONG, 400, {"error": {
        "message": "prompt too long; exceeded max context length by 4 tokens", "type": "api_error"}}),
    Sent("lm studio 200", Kind.TOO_LONG, 200, {"error": {
        "message": "The number of tokens to keep from the initial prompt is greater than the context "
        "length (n_keep: 9000 >= n_ctx: 4096). Try to load the model with a larger context length, "
        "or provide a shorter input."}}),
    Sent("lm studio text", Kind.TOO_LONG, 400, {"error":
        "Trying to keep the first 15857 tokens when context the overflows. However, the model is "
        "loaded with context length of only 4096 tokens, which is not enough."}),
    Sent("lm studio keep", Kind.TOO_LONG, 400, {"error":
        "Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"}),
    Sent("tgi", Kind.TOO_LONG, 422, {
        "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: "
        "8740 `inputs` tokens and 500 `max_new_tokens`", "error_type": "validation"}),
    Sent("tgi inputs", Kind.TOO_LONG, 422, {
        "error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 1168",
        "error_type": "validation"}),
    Sent("tgi 200", Kind.TOO_LONG, 200, {"error": {
        "message": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. "
        "Given: 8740 `inputs` tokens and 500 `max_new_tokens`", "http_status_code": 422}}),
    Sent("gemini", Kind.TOO_LONG, 400, _gemini(
        400, "The input token count (1091639) exceeds the maximum number of tokens allowed "
        "(1048576).", "INVALID_ARGUMENT")),
    Sent("gemini payload", Kind.TOO_LONG, 400, _gemini(
        400, "Request payload size exceeds the limit: 20971520 bytes.", "INVALID_ARGUMENT")),
    Sent("bedrock", Kind.TOO_LONG, 400, {
        "message": "Input is too long for requested model.", "__type": "ValidationException"}),
    Sent("bedrock anthropic", Kind.TOO_LONG, 400, {
        "message": "The model returned the following errors: input length and `max_tokens` exceed "
        "context limit: 188240 + 21333 > 200000, decrease input length or `max_tokens` and try "
        "again"}),
    Sent("anthropic", Kind.TOO_LONG, 400, _anthropic(
        "prompt is too long: 213462 tokens > 200000 maximum", "invalid_request_error")),
    Sent("anthropic 413", Kind.TOO_LONG, 413, _anthropic(
        "Request exceeds the maximum size", "request_too_large")),
    Sent("openrouter", Kind.TOO_LONG, 400, {"error": {
        "message": "This endpoint's maximum context length is 32768 tokens. However, you requested "
        "about 40000 tokens", "code": 400}}),
    Sent("openrouter raw", Kind.TOO_LONG, 400, _routed(
        400, '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: '
        '210000 tokens > 200000 maximum"}}')),
    Sent("mistral", Kind.TOO_LONG, 400, {
        "object": "error", "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for "
        "model with 32768 maximum context length", "type": "invalid_request_prompt", "code": "3051"}),
    Sent("together", Kind.TOO_LONG, 422, _openai(
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 "
        "`inputs` tokens and 512 `max_new_tokens`")),
    Sent("deepseek", Kind.TOO_LONG, 400, _openai(
        "This model's maximum context length is 65536 tokens. However, you requested 69648 tokens "
        "(69648 in the messages, 0 in the completion).", "invalid_request_error")),
    Sent("xai", Kind.TOO_LONG, 400, {
        "code": "Client specified an invalid argument",
        "error": "This model's maximum prompt length is 131072 but the request contains 537812 "
        "tokens."}),
    Sent("cohere", Kind.TOO_LONG, 400, {
        "message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - "
        "received 5000."}),
    Sent("copilot", Kind.TOO_LONG, 400, _openai(
        "prompt token count of 70000 exceeds the limit of 64000",
        "model_max_prompt_tokens_exceeded")),
    Sent("github models", Kind.TOO_LONG, 413, _openai(
        "Request body too large for gpt-4o model. Max size: 8000 tokens.", "tokens_limit_reached")),
    Sent("moonshot", Kind.TOO_LONG, 400, _openai(
        "Invalid request: Your request exceeded model token limit: 262144 (requested: 263000)")),
    Sent("minimax", Kind.TOO_LONG, 200, {"base_resp": {
        "status_code": 2013, "status_msg": "invalid params, context window exceeds limit"}}),
    Sent("dashscope", Kind.TOO_LONG, 400, _openai(
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]"
        .removeprefix("<400> "))),
    Sent("zhipu", Kind.TOO_LONG, 400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}),
    Sent("tabby", Kind.TOO_LONG, 422, {"detail": "Prompt length 5000 is greater than max_seq_len 4096"}),
    Sent("watsonx", Kind.TOO_LONG, 400, {"errors": [{
        "code": "invalid_input_argument", "message": "the number of input tokens 5000 cannot exceed "
        "the total tokens limit 4096 for this model"}]}),
    Sent("cloudflare", Kind.TOO_LONG, 400, {"errors": [{
        "code": 5021, "message": "The estimated number of input and maximum output tokens (8000) "
        "exceeded this model context window limit (7968)."}]}),
    Sent("xinference", Kind.TOO_LONG, 500, {
        "detail": "[address=0.0.0.0:1, pid=1] Requested tokens (5000) exceed context window of 4096"}),
    Sent("litellm", Kind.TOO_LONG, 500, _openai(
        "litellm.ContextWindowExceededError: litellm.BadRequestError: too much", "500")),
    Sent("json in a string", Kind.TOO_LONG, 502, {
        "detail": 'upstream said {"error": {"code": "context_length_exceeded", "message": "no"}}'}),
    Sent("plain text", Kind.TOO_LONG, 400, "Prompt exceeds maximum context length"),
    Sent("nginx", Kind.TOO_LONG, 413, "<html>413 Request Entity Too Large</html>"),
    Sent("choice", Kind.TOO_LONG, 200, {"choices": [{"error": {
        "code": 400, "message": "maximum context length is 4096 tokens"}, "finish_reason": "error"}]}),
    Sent("vertex", Kind.TOO_LONG, 400, _gemini(
        400, "Unable to submit request because the input token count is 1100000 but model only "
        "supports up to 1048576. Reduce the input token count and try again.", "INVALID_ARGUMENT")),
    Sent("bedrock length", Kind.TOO_LONG, 400, {
        "message": "Malformed input request: expected maxLength: 1000000, actual: 1200000, please "
        "reformat your input and try again."}),
    Sent("llama.cpp new", Kind.TOO_LONG, 400, {"error": {
        "code": 400, "message": "request (14429 tokens) exceeds the available context size (8192 "
        "tokens), try increasing it", "type": "invalid_request_error"}}),
    Sent("vllm prompt", Kind.TOO_LONG, 400, _vllm(
        "Input prompt (9000 tokens) is too long and exceeds limit of 8192")),
    Sent("vllm engine", Kind.TOO_LONG, 400, _vllm(
        "The engine prompt length 9000 exceeds the max_model_len 8192. Please reduce prompt.")),
    Sent("tensorrt-llm", Kind.TOO_LONG, 500, {"error":
        "Encountered an error when fetching new request: Prompt length (5000) exceeds maximum input "
        "length (4096)."}),
    Sent("databricks", Kind.TOO_LONG, 400, {
        "error_code": "BAD_REQUEST", "message": "prompt token count (5000) cannot exceed 4096."}),
    Sent("volcengine", Kind.TOO_LONG, 400, _openai(
        "Total tokens of image and text exceed max message tokens.", "InvalidParameter")),
    Sent("cerebras", Kind.TOO_LONG, 400, {
        "message": "Please reduce the length of the messages or completion. Current length is 8196 "
        "while limit is 8192", "code": "context_length_exceeded"}),
    Sent("siliconflow", Kind.TOO_LONG, 400, {
        "code": 20015, "message": "length of prompt_tokens (26000) must be less than max_seq_len "
        "(8192).", "data": None}),
    Sent("lmdeploy", Kind.TOO_LONG, 400, _vllm(
        "The token number of the input 9000 exceeds session_len 8192")),
    Sent("tokens in the input", Kind.TOO_LONG, 400, _openai(
        "The number of tokens in the input exceeds the model's limit of 128000")),
    Sent("sambanova", Kind.TOO_LONG, 400, _openai(
        "Requested 5000 tokens, but the model's maximum supported sequence length is just 4096!")),
    Sent("perplexity", Kind.TOO_LONG, 400, _openai(
        "Requested number of tokens 50000 greater than the max of 28000")),
    Sent("vllm only", Kind.TOO_LONG, 400, _vllm(
        "You passed 4097 input tokens. However, the model's context length is only 4096 tokens")),
    Sent("window", Kind.TOO_LONG, 400, {"error": "the prompt is longer than the context window"}),
    Sent("size", Kind.TOO_LONG, 400, {"error": "prompt is longer than context size"}),
    Sent("fewer", Kind.TOO_LONG, 400, _openai("inputs must be fewer than 4096 tokens")),
    Sent("mlx-lm", Kind.TOO_LONG, 400, {"error": "the maximum KV size is 4096"}),
    Sent("messages", Kind.TOO_LONG, 400, _openai("messages tokens exceed max limit 32k")),
    Sent("message size", Kind.TOO_LONG, 400, _openai(
        "total message size 300000 exceeds limit 262144")),
    Sent("pydantic", Kind.TOO_LONG, 422, {"detail": [{
        "type": "string_too_long", "loc": ["body", "messages", 1, "content"],
        "msg": "String should have at most 32768 characters"}]}),
    Sent("num_ctx", Kind.TOO_LONG, 500, {"error": "prompt exceeds num_ctx"}),
)  # fmt: skip
CREDIT = (
    Sent("openai", Kind.CREDIT, 429, _openai(_PLAN, "insufficient_quota", "insufficient_quota")),
    Sent("openai limit", Kind.CREDIT, 400, _openai("limit", "billing_hard_limit_reached")),
    Sent("openrouter 200", Kind.CREDIT, 200, {"error": {
        "message": "Insufficient credits. Add more using https://openrouter.ai/credits",
        "code": 402}}),
    Sent("openrouter afford", Kind.CREDIT, 402, {"error": {
        "message": "This request requires more credits, or fewer max_tokens. You requested up to "
        "65536 tokens, but can only afford 1000", "code": 402}}),
    Sent("openrouter key", Kind.CREDIT, 403, {"error": {
        "message": "Key limit exceeded. Manage it using https://openrouter.ai/settings/keys",
        "code": 403}}),
    Sent("deepseek", Kind.CREDIT, 402, _openai("Insufficient Balance", "invalid_request_error")),
    Sent("anthropic", Kind.CREDIT, 400, _anthropic(
        "Your credit balance is too low to access the Anthropic API.", "invalid_request_error")),
    Sent("anthropic limits", Kind.CREDIT, 400, _anthropic(
        "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
        "invalid_request_error")),
    Sent("moonshot", Kind.CREDIT, 429, _openai(
        "Your account org-x is suspended, please check your plan and billing details",
        None, "exceeded_current_quota_error")),
    Sent("dashscope", Kind.CREDIT, 400, _openai("Access denied, account in arrears", "Arrearage")),
    Sent("zhipu", Kind.CREDIT, 429, {"error": {"code": "1113", "message": "余额不足"}}),
    Sent("xai", Kind.CREDIT, 429, {
        "code": "Some resource has been exhausted",
        "error": "Your team has either used all available credits or reached its monthly spending "
        "limit."}),
    Sent("one api", Kind.CREDIT, 403, _openai(
        "user quota is not enough", "insufficient_user_quota", "new_api_error")),
    Sent("gemini none", Kind.CREDIT, 429, _gemini(
        429, f"{_PLAN} * Quota exceeded for metric: free_tier_requests, limit: 0, model: x Please "
        "retry in 17.3s.", "RESOURCE_EXHAUSTED")),
    Sent("hugging face", Kind.CREDIT, 402, {
        "error": "You have exceeded your monthly included credits for Inference Providers."}),
    Sent("litellm", Kind.CREDIT, 400, _openai(
        "Budget has been exceeded! Current cost: 10.0, Max budget: 5.0", "400", "budget_exceeded")),
    Sent("gemini depleted", Kind.CREDIT, 429, _gemini(
        429, "Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED")),
    Sent("fireworks", Kind.CREDIT, 412, _openai("Account x is suspended: unpaid invoice")),
    Sent("ollama cloud", Kind.CREDIT, 429, {
        "error": "you've reached your weekly usage limit, please upgrade to continue"}),
    Sent("codex", Kind.CREDIT, 429, _openai(
        "The usage limit has been reached", None, "usage_limit_reached")),
    Sent("xai none", Kind.CREDIT, 403, {
        "code": "The caller does not have permission to execute the specified operation",
        "error": "Your newly created team doesn't have any credits or licenses yet."}),
    Sent("doubao", Kind.CREDIT, 403, _openai(
        "The request failed because your account has an overdue balance.", "AccountOverdueError",
        "Forbidden")),
    Sent("azure", Kind.CREDIT, 403, {"error": {
        "code": "SubscriptionDisabled", "message": "The subscription is disabled."}}),
)  # fmt: skip
KEY = (
    Sent("openai", Kind.KEY, 401, _openai("Incorrect API key provided: sk-…", "invalid_api_key")),
    Sent("gemini", Kind.KEY, 400, _gemini(
        400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT")),
    Sent("openrouter 200", Kind.KEY, 200, {"error": {
        "message": "No auth credentials found", "code": 401}}),
    Sent("anthropic", Kind.KEY, 401, _anthropic("invalid x-api-key", "authentication_error")),
    Sent("deepseek", Kind.KEY, 401, _openai(
        "Authentication Fails, Your api key: ****x is invalid", "invalid_request_error")),
    Sent("litellm 500", Kind.KEY, 500, _openai(
        "litellm.AuthenticationError: OpenAIException - Incorrect API key provided", None)),
    Sent("bedrock", Kind.KEY, 403, {
        "message": "The security token included in the request is expired"}),
    Sent("vllm", Kind.KEY, 401, {"error": "Unauthorized"}),
    Sent("mistral", Kind.KEY, 401, {"detail": "Unauthorized"}),
    Sent("no body", Kind.KEY, 401, ""),
    Sent("gemini leaked", Kind.KEY, 403, _gemini(
        403, "Your API key was reported as leaked. Please use another API key.",
        "PERMISSION_DENIED")),
    Sent("unauthorized 200", Kind.KEY, 200, {"error": "Unauthorized"}),
    Sent("plain 500", Kind.KEY, 500, "Unauthorized: token expired"),
    Sent("fastapi 200", Kind.KEY, 200, {"detail": "Not authenticated"}),
    Sent("minimax", Kind.KEY, 200, {"base_resp": {
        "status_code": 1004, "status_msg": "login fail: Please carry the API secret key"}}),
)  # fmt: skip
MODEL = (
    Sent("openai", Kind.MODEL, 404, _openai(
        "The model `x` does not exist or you do not have access to it.", "model_not_found")),
    Sent("azure", Kind.MODEL, 404, _openai(
        "The API deployment for this resource does not exist.", "DeploymentNotFound")),
    Sent("vllm", Kind.MODEL, 404, _vllm("The model `x` does not exist.", 404, "NotFoundError")),
    Sent("ollama", Kind.MODEL, 404, _openai('model "x" not found, try pulling it first')),
    Sent("openrouter", Kind.MODEL, 400, {"error": {
        "message": "x is not a valid model ID", "code": 400}}),
    Sent("deepseek", Kind.MODEL, 400, _openai("Model Not Exist", "invalid_request_error")),
    Sent("mistral", Kind.MODEL, 400, {
        "object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}),
    Sent("gemini", Kind.MODEL, 404, _gemini(
        404, "models/x is not found for API version v1main", "NOT_FOUND")),
    Sent("bedrock", Kind.MODEL, 400, {"message": "The provided model identifier is invalid."}),
    Sent("groq", Kind.MODEL, 400, _openai(
        "The model `x` has been decommissioned and is no longer supported.",
        "model_decommissioned")),
    Sent("lm studio", Kind.MODEL, 400, {"error": {"message": "No models loaded. Please load a model"}}),
    Sent("one api", Kind.MODEL, 503, _openai(
        "No available channel for model x under group default", "model_not_found", "new_api_error")),
    Sent("nginx", Kind.MODEL, 404, "<html>404 Not Found</html>"),
    Sent("openai completion", Kind.MODEL, 404, _openai(
        "This is not a chat model and thus not supported in the v1/chat/completions endpoint.")),
    Sent("lm studio path", Kind.MODEL, 200, {
        "error": "Unexpected endpoint or method. (POST /chat/completions)"}),
    Sent("path 200", Kind.MODEL, 200, "Not Found"),
    Sent("fastapi path", Kind.MODEL, 405, {"detail": "Method Not Allowed"}),
    Sent("case", Kind.MODEL, 404, _openai("No model x: names of models are case-sensitive")),
    Sent("not supported", Kind.MODEL, 400, _openai("Model x is not supported")),
)  # fmt: skip
PERMISSION = (
    Sent("openai place", Kind.PERMISSION, 403, _openai(
        "Country, region, or territory not supported", "unsupported_country_region_territory")),
    Sent("gemini place", Kind.PERMISSION, 400, _gemini(
        400, "User location is not supported for the API use.", "FAILED_PRECONDITION")),
    Sent("bedrock", Kind.PERMISSION, 403, {
        "message": "You don't have access to the model with the specified model ID."}),
    Sent("cloudflare", Kind.PERMISSION, 403, "<html>Just a moment...</html>"),
)  # fmt: skip
BUSY = (
    Sent("openai", Kind.BUSY, 429, _openai(
        "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, "
        "Used 29000, Requested 5000. Please try again in 8s.", "rate_limit_exceeded", "tokens")),
    Sent("openai rpm", Kind.BUSY, 429, _openai(
        "Rate limit reached for gpt-4 on requests per min (RPM): Limit 10, Used 10, Requested 1.",
        "rate_limit_exceeded", "requests")),
    Sent("azure", Kind.BUSY, 429, {"error": {
        "code": "429", "message": "Requests to the ChatCompletions_Create Operation have exceeded "
        "token rate limit of your current OpenAI S0 pricing tier. Please retry after 24 seconds."}}),
    Sent("anthropic", Kind.BUSY, 429, _anthropic(
        "This request would exceed your organization's rate limit of 40,000 input tokens per "
        "minute. Please reduce the prompt length or the maximum tokens requested, or try again "
        "later.", "rate_limit_error")),
    Sent("anthropic 529", Kind.BUSY, 529, _anthropic("Overloaded", "overloaded_error")),
    Sent("gemini minute", Kind.BUSY, 429, _gemini(
        429, f"{_PLAN} * Quota exceeded for metric: input_token_count, limit: 250000 Please retry in "
        "17.3s.", "RESOURCE_EXHAUSTED")),
    Sent("gemini string", Kind.BUSY, 429, {"error": {
        "message": '{\n  "error": {\n "code": 429,\n "message": "Resource has been exhausted (e.g. '
        'check quota).",\n "status": "RESOURCE_EXHAUSTED"\n }\n}\n', "code": 429}}),
    Sent("bedrock", Kind.BUSY, 429, {
        "message": "Too many tokens, please wait before trying again.",
        "__type": "ThrottlingException"}),
    Sent("openrouter free", Kind.BUSY, 429, {"error": {
        "message": "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free "
        "model requests per day", "code": 429}}),
    Sent("openrouter 200", Kind.BUSY, 200, {"error": {"message": "Provider down", "code": 502}}),
    Sent("openrouter raw", Kind.BUSY, 429, _routed(429, "x is temporarily rate-limited upstream.")),
    Sent("go", Kind.BUSY, 500, {"error": "context deadline exceeded"}),
    Sent("go cancel", Kind.BUSY, 500, {"error": "context canceled"}),
    Sent("llama.cpp", Kind.BUSY, 503, {"error": {
        "code": 503, "message": "Loading model", "type": "unavailable_error"}}),
    Sent("tgi", Kind.BUSY, 429, {"error": "Model is overloaded", "error_type": "overloaded"}),
    Sent("tgi 424", Kind.BUSY, 424, {
        "error": "Request failed during generation: CUDA out of memory", "error_type": "generation"}),
    Sent("ollama memory", Kind.BUSY, 500, {
        "error": "model requires more system memory (5.6 GiB) than is available"}),
    Sent("busy with 400", Kind.BUSY, 400, _openai("The engine is overloaded, try again later")),
    Sent("nginx", Kind.BUSY, 502, "<html>502 maximum context length is not its word</html>"),
    Sent("upstream", Kind.BUSY, 503, "upstream connect error or disconnect/reset before headers"),
    Sent("unknown 200", Kind.BUSY, 200, {"error": "text"}),
)  # fmt: skip
POLICY = (
    Sent("azure", Kind.POLICY, 400, {"error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content "
        "management policy.", "param": "prompt", "code": "content_filter", "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
    Sent("openai", Kind.POLICY, 400, _openai(
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
        "invalid_prompt")),
    Sent("openrouter", Kind.POLICY, 403, {"error": {
        "message": "Input was flagged by moderation", "code": 403,
        "metadata": {"reasons": ["violence"]}}}),
    Sent("deepseek", Kind.POLICY, 400, _openai("Content Exists Risk", "invalid_request_error")),
    Sent("dashscope", Kind.POLICY, 400, _openai(
        "Input data may contain inappropriate content.", "data_inspection_failed")),
    Sent("minimax input", Kind.POLICY, 200, {"base_resp": {
        "status_code": 1026, "status_msg": "input new_sensitive"}}),
    Sent("minimax output", Kind.POLICY, 200, {"choices": None, "base_resp": {
        "status_code": 1027, "status_msg": "output new_sensitive"}}),
    Sent("doubao", Kind.POLICY, 400, _openai(
        "The request failed because the input text may contain information.",
        "SensitiveContentDetected", "BadRequest")),
    Sent("step", Kind.POLICY, 451, _openai("the content is not allowed", "censorship_blocked")),
    Sent("451", Kind.POLICY, 451, "<html>451</html>"),
    Sent("moderation", Kind.POLICY, 200, {"error": "moderation"}),
)  # fmt: skip
REFUSED = (
    Sent("openai", Kind.REFUSED, 400, _openai(
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
        "invalid_value")),
    Sent("mistral", Kind.REFUSED, 422, {"detail": [{
        "type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted",
        "input": "maximum context length exceeded"}]}),
    Sent("context alone", Kind.REFUSED, 400, _openai("Unknown context: messages[0].context")),
    Sent("roles", Kind.REFUSED, 400, _openai("messages: roles must alternate")),
    Sent("llama.cpp template", Kind.REFUSED, 500, {"error": {
        "code": 500, "message": "Jinja Exception: System role not supported",
        "type": "server_error"}}),
    Sent("llama.cpp roles", Kind.REFUSED, 500, {"error": {
        "code": 500, "message": "Conversation roles must alternate user/assistant/user/assistant",
        "type": "server_error"}}),
    Sent("codes", Kind.REFUSED, 400, {"error": {"code": 7, "param": {"a": 1}, "message": None}}),
)  # fmt: skip
ALL = (*TOO_LONG, *CREDIT, *KEY, *MODEL, *PERMISSION, *BUSY, *POLICY, *REFUSED)
