"""What an endpoint's error means, by its code, its type, its wording, and last by its status. Pure.

Servers answer the same thing with every status, 200 included, so what they say comes first. Each
wording is one that a server sends, with the servers that send it beside it.
"""

import re
from enum import Enum


class Kind(Enum):
    """What to do about an error."""

    TOO_LONG = "too long"
    """The prompt is longer than the model or the key accepts: shed history."""
    POLICY = "policy"
    """The prompt or the reply was filtered: the experiment's."""
    CREDIT = "credit"
    """Quota, credit or balance is used up: the user's."""
    KEY = "key"
    PERMISSION = "permission"
    MODEL = "model"
    """Unknown, withdrawn or not loaded: the user's."""
    BUSY = "busy"
    """It may pass: wait."""
    REFUSED = "refused"
    """A request that is never accepted: the user's."""


# Codes stand in the text as `code=…`, see `error_facts.py`.
_ALWAYS_TOO_LONG = (
    "context_length_exceeded",  # OpenAI, Azure, Groq, Cerebras
    "context_window_exceeded|ContextWindowExceeded|ContextLengthExceeded",  # LiteLLM
    "exceed_context_size_error",  # llama.cpp
    "model_max_prompt_tokens_exceeded",  # GitHub Copilot
    "tokens_limit_reached",  # GitHub Models
    "string_above_max_length",  # OpenAI
    "request_too_large",  # Anthropic
    "code=(?:1261|3051|5021)$",  # Zhipu, Mistral, Cloudflare
    r"payload too large|body exceeded|request (?:body )?size exceed",
    r"request (?:body |entity |payload )?(?:is )?too large",  # OpenAI, Groq, GitHub Models, nginx
)
_TOO_LONG = (
    r"maximum context (?:length|size|window)",  # OpenAI, vLLM, DeepSeek, OpenRouter
    r"exceed\w* .{0,40}context[ _-](?:length|size|window|limit)",  # llama.cpp, Ollama, Bedrock
    r"context (?:length|size|window|limit) (?:is |was |has been )?exceed",  # llama.cpp, MiniMax
    r"longer than .{0,40}(?:context|model|sequence) length",  # SGLang, vLLM
    r"(?:greater|larger|bigger) than .{0,30}(?:context (?:length|size|window)|max_seq_len|n_ctx)",
    r"n_keep\b.{0,20}>=?.{0,20}n_ctx",  # LM Studio
    r"when (?:the )?context (?:the )?overflows|reached context length of",  # LM Studio
    r"context (?:window )?overflow\b",
    r"(?:prompt|input|messages?|request) (?:is|are) too (?:long|large)",  # Anthropic, Bedrock
    r"(?:prompt|input) too long",  # Ollama
    r"(?:prompt|input)\b.{0,40} (?:is|are) too (?:long|large)",  # vLLM
    r"(?:prompt|input|request|messages?) exceeds? .{0,20}context\b",
    r"expected maxLength",  # Bedrock
    r"tokens? (?:is |are )?too long",  # Qianfan
    r"(?:长度|上下文|tokens?).{0,6}超|超[过出].{0,8}(?:长度|上下文)",
    r"too (?:long|large) for (?:the |this |requested )?model",  # Mistral, Bedrock
    r"too many (?:input|prompt) tokens|prompt has too many tokens",
    r"too many tokens(?!.{0,60}(?:wait|later))",  # Cohere; Bedrock's throttling asks to wait
    r"(?:input|prompt) token count.{0,40}exceeds",  # Gemini, GitHub Copilot
    r"(?:input|prompt|requested) (?:tokens?|token count|length|size)\b.{0,60}"
    r"(?:exceed|(?:greater|longer|larger) than)",  # OpenAI, SGLang, llama-cpp-python, watsonx
    r"exceed\w* .{0,30}max(?:imum)?(?: allowed)? "
    r"(?:number of (?:input )?tokens|prompt|input|length|message|sequence)",  # Gemini, Zhipu
    r"exceed\w* (?:the )?(?:model )?(?:max(?:imum)? )?token limit",  # Moonshot
    r"inputs`?(?: tokens \+ `?max_new_tokens`?)? must (?:be <=|have less than)",  # TGI, Together
    r"maximum prompt length is",  # xAI
    r"reduce (?:the length of |the size of )?(?:the |your )?(?:messages?|prompt|input)\b",  # Groq
    r"range of input length should be",  # DashScope
    r"payload size exceeds",  # Gemini
    r"model length of \d+|model maximum context",  # vLLM, Fireworks
    r"must be (?:less|fewer) than (?:max_seq_len|\d+ tokens)",  # SiliconFlow
    r"exceeds? .{0,20}(?:session_len|num_ctx|n_ctx|max_seq_len)",  # LMDeploy, Ollama
    r"tokens in the (?:input|prompt|messages) exceeds?",
    r"maximum (?:supported )?sequence length|maximum KV size",  # SambaNova, mlx-lm
    r"number of tokens .{0,20}greater than",  # Perplexity
    r"context (?:length|size|window) is (?:only|just) \d",  # vLLM
    r"longer than (?:the )?context (?:size|window)",  # mlx-lm
    r"messages? (?:tokens|size)\b.{0,60}exceeds?",
    r"should have at most \d+ characters",  # pydantic
)
_RATE = re.compile(
    r"rate.?limit|per[ _](?:min|minute|hour|day|second)\b|\b[tr]p[md]\b|too many requests|throttl",
    re.IGNORECASE,
)
"""A rate is spoken of: `input tokens … exceed` then means the tokens of a minute."""
_LIMIT_REQUESTED = re.compile(
    r"limit:?\s*([\d,]{1,15})\b.{0,80}?requested:?\s*([\d,]{1,15})\b", re.IGNORECASE | re.DOTALL
)
_LIMIT_ALONE = re.compile(
    r"input_token_count,? limit:? ([\d,]{1,15})\b"  # Gemini
    r"|\b([\d,]{1,15}) input tokens per minute"  # Anthropic
    r"|\btokens\b.{0,60}limit:? ([\d,]{1,15}) ?/ ?min\b",  # OpenAI, formerly
    re.IGNORECASE,
)
_OF_A_LENGTH = re.compile(
    r"token|context|length|seq_len|n_ctx|num_ctx|too long|characters", re.IGNORECASE
)

_BY_WORDING: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (
        Kind.POLICY,
        (
            "content_filter|content_policy_violation|ResponsibleAIPolicyViolation",  # OpenAI, Azure
            "content management policy",  # Azure
            "data_inspection_failed",  # DashScope
            "code=(?:invalid_prompt|1301)$",  # OpenAI, Zhipu
            r"flagged (?:by|as|for)",  # OpenRouter, OpenAI
            r"violat\w+ (?:our |the |openai's )?(?:usage|content|safety) polic",
            "Content Exists Risk",  # DeepSeek
            "PROHIBITED_CONTENT|safety system",  # Gemini, OpenAI
            r"blocked by .{0,20}(?:safety|content|moderation)",
            r"(?<!in)(?<!case)(?<!case[ _-])sensitive|code=102[67]$",  # MiniMax, Doubao
            r"\bmoderation\b(?! (?:service|endpoint|api|server|model))|censorship",
        ),
    ),
    (
        Kind.CREDIT,
        (
            "insufficient_quota|insufficient_user_quota|billing_hard_limit_reached",  # OpenAI
            "billing_not_active|billing_error|exceeded_current_quota|credit_balance",  # Moonshot
            "Arrearage|code=1113$|余额不足|额度不足|欠费",  # DashScope, Zhipu
            r"insufficient[ _](?:credits?|(?:account )?balance|funds|quota)",  # DeepSeek
            r"(?:credit|account) balance .{0,30}(?:too low|insufficient|not enough)",  # Anthropic
            r"not enough (?:credits?|balance|funds)|out of credits?|no credits? (?:left|remaining)",
            r"(?:requires?|needs?|buy|purchase) more credits",  # OpenRouter
            r"used all (?:available |of |your |its )*credits",  # xAI
            r"spend(?:ing)? limit|billing limit|payment required|Key limit exceeded",  # OpenRouter
            r"account is (?:not active|suspended|in arrears)",  # Moonshot
            "specified API usage limits",  # Anthropic
            r"budget_exceeded|budget has been exceeded|credit limit exceeded",  # LiteLLM, Together
            r"unpaid invoice|account .{0,30}suspended|quota .{0,20}not enough",  # Fireworks
            r"free (?:tier|quota) .{0,40}exhausted",  # DashScope
            r"check your plan and billing details",  # OpenAI
            r"exceeded your (?:current|monthly) (?:quota|included credits)",  # Hugging Face
            r"(?:weekly|monthly) (?:usage )?limit|usage_limit_reached",  # Ollama, OpenAI
            r"have any credits|overdue balance|AccountOverdue|SubscriptionDisabled",  # xAI, Azure
        ),
    ),
    (
        Kind.KEY,
        (
            "invalid_api_key|API_KEY_INVALID|API_KEY_SERVICE_BLOCKED",  # OpenAI, Gemini
            r"code=(?:authentication_error|invalid_authentication\w*|UNAUTHENTICATED)$",
            "UnrecognizedClientException|ExpiredTokenException|InvalidSignatureException",
            r"account_deactivated|无效的令牌|^(?:code=)?unauthorized\b",
            r"api[ _-]?key .{0,20}(?:disabled|revoked|suspended|blocked|leaked)",  # Gemini
            "missing authentication",  # OpenRouter
            r"not authenticated|login fail",  # FastAPI, MiniMax
            r"token (?:has |is )?expired|expired token",
            r"(?:incorrect|invalid|wrong|missing|expired|revoked|no) api[ _-]?key",
            r"api[ _-]?key (?:is )?(?:not valid|invalid|missing|expired|incorrect|required)",
            r"no auth credentials|provide an api key|security token included in the request",
            r"authentication (?:fails|failed|required|error)",  # DeepSeek
            r"invalid (?:authentication|bearer token|access token|credentials)",
        ),
    ),
    (
        Kind.MODEL,
        (
            "model_not_found|model_not_available|model_decommissioned|unknown_model",  # Groq
            "DeploymentNotFound|model_not_supported|code=(?:invalid_model|1211|1500)$",
            r"model\b.{0,80}(?:does(?: not|n't) exist|not (?:found|exist)|not a valid model"
            r"|has been (?:decommissioned|deprecated|retired)|no longer (?:available|supported)"
            r"|is not supported)",  # OpenAI, Ollama, DeepSeek, Gemini
            r"not a valid model|invalid model(?: name|:| id)|unknown model|no such model",
            r"model identifier is invalid|模型不存在",  # Bedrock, Zhipu
            r"(?:could not|cannot|can't|unable to) find (?:the )?model",
            r"(?:unsupported|unrecognized|nonexistent) model\b",
            r"no endpoints found",  # OpenRouter
            r"no models? (?:is |are |was |were )?loaded",  # LM Studio
            r"unable to access (?:non-serverless )?model",  # Together
            r"unexpected endpoint|method not allowed|^not found\W*$",  # a path is missing
        ),
    ),
    (
        Kind.PERMISSION,
        (
            "code=(?:permission_error|permission_denied|access_denied|access_terminated)$",
            "unsupported_country_region_territory|AccessDeniedException",
            r"location is not supported|region, or territory not supported",  # Gemini, OpenAI
            r"(?:do|does)(?: not|n't) have (?:access|permission)|not authorized to",
            r"^(?:code=)?forbidden\b",
        ),
    ),
    (
        Kind.REFUSED,
        (
            # llama.cpp and vLLM, where the model's template refuses the messages
            r"jinja|chat[ _]template|\broles?\b.{0,40}not supported|roles must alternate",
        ),
    ),
)
_BUSY = (
    r"rate.?limit|too many requests|throttl|slow_down|code=resource_exhausted$",
    r"overloaded|(?:over|at) capacity|high demand|server is busy|queue is full",
    r"temporarily|try again (?:later|in|soon)|service unavailable|code=unavailable$",
    r"server_error|internal (?:server )?error|bad gateway|gateway time-?out",
    r"timed? ?out|deadline exceeded|connection (?:reset|refused|error|closed)",
    r"(?:is|still|currently) loading|loading model|not ready",
)
"""With a status that says nothing of the kind, such as 400, or 200."""

_DECISIVE = {401: Kind.KEY, 402: Kind.CREDIT, 413: Kind.TOO_LONG}
_BY_STATUS = {
    403: Kind.PERMISSION, 404: Kind.MODEL, 408: Kind.BUSY, 409: Kind.BUSY, 421: Kind.BUSY,
    424: Kind.BUSY, 425: Kind.BUSY, 429: Kind.BUSY, 451: Kind.POLICY, 498: Kind.BUSY,
    499: Kind.BUSY,
}  # fmt: skip
_NOTHING_LEFT = re.compile(
    r"\blimit: 0\b(?!\.\d)|credits? (?:are|is) depleted|spending cap", re.IGNORECASE
)


def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p})" for p in patterns), re.IGNORECASE | re.MULTILINE)


_ALWAYS_TOO_LONG_RE, _TOO_LONG_RE, _BUSY_RE = _any(_ALWAYS_TOO_LONG), _any(_TOO_LONG), _any(_BUSY)
_BY_WORDING_RE = [(kind, _any(patterns)) for kind, patterns in _BY_WORDING]


def kind_of(status: int | None, text: str) -> Kind:
    """Sort an error.

    Args:
        status: the HTTP status, or the one that the body names; None if neither says anything.
        text: what the server says, its codes as `code=…` lines.
    """
    if _is_too_long(text):
        return Kind.TOO_LONG
    if re.search(r"code=resource_exhausted$", text, re.IGNORECASE | re.MULTILINE):
        # Gemini words a minute's quota as OpenAI words an empty account; of a limit of 0, as for a
        # model outside of the free tier, nothing is ever given.
        return Kind.CREDIT if _NOTHING_LEFT.search(text) else Kind.BUSY
    for kind, pattern in _BY_WORDING_RE:
        if pattern.search(text):
            return kind
    if status in _DECISIVE:
        return _DECISIVE[status]
    if status is None or status >= 500 or _BUSY_RE.search(text):
        return Kind.BUSY
    return _BY_STATUS.get(status, Kind.REFUSED)


def tokens_at_once(text: str) -> int | None:
    """Return the tokens of a minute that a rate limit allows, None where it does not name them.

    A longer prompt never passes, however long the wait.
    """
    found = _LIMIT_ALONE.search(text)
    return _integer(next(filter(None, found.groups()))) if found else None


def may_be_too_long(text: str) -> bool:
    """May the words of a refusal be about the length of the prompt?"""
    return bool(_OF_A_LENGTH.search(text))


def _integer(number: str) -> int:
    return int(number.replace(",", "") or 0)


def _is_too_long(text: str) -> bool:
    if found := _LIMIT_REQUESTED.search(text):
        # A rate limit: a request larger than the limit itself never passes, another one later does.
        limit, requested = map(_integer, found.groups())
        return requested > limit
    if _ALWAYS_TOO_LONG_RE.search(text):
        return True
    return bool(_TOO_LONG_RE.search(text)) and not _RATE.search(text)
