"""Serevix's errors: those of the New API gateway, and OpenAI's, which other gateways send instead."""

from collections.abc import Mapping

from emulator.providers.base import ErrorSpec

INVALID_TOKEN = "Invalid token"
NEW_API: Mapping[str, ErrorSpec] = {
    "unauthorized": ErrorSpec(401, INVALID_TOKEN, "new_api_error", ""),
    "forbidden": ErrorSpec(403, "This token has no access to model {model}", "new_api_error", ""),
    "access_denied": ErrorSpec(
        403, "Your IP is not in the list of allowed access", "new_api_error", "access_denied"
    ),
    "insufficient_balance": ErrorSpec(
        403, "用户额度不足, 剩余额度: ＄0.000000", "new_api_error", "insufficient_user_quota"
    ),
    "token_quota": ErrorSpec(
        403, "token quota is not enough", "new_api_error", "pre_consume_token_quota_failed"
    ),
    "content_policy": ErrorSpec(400, "Content Exists Risk", "invalid_request_error", "invalid_request_error"),
    "rate_limited": ErrorSpec(
        429, "You have reached the request limit: maximum 60 requests in 1 minutes", "new_api_error", ""
    ),
    "server_error": ErrorSpec(500, "Internal Server Error", "upstream_error", "bad_response_status_code"),
    "overloaded": ErrorSpec(
        503,
        "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
        "service_unavailable_error",
        "service_unavailable_error",
    ),
    "timeout": ErrorSpec(504, "Gateway Timeout", "upstream_error", "bad_response_status_code"),
    "bad_request": ErrorSpec(400, "Bad Request", "invalid_request_error", "invalid_request_error"),
    "model_not_found": ErrorSpec(
        503, "No available channel for model {model} under group default (distributor)", "new_api_error",
        "model_not_found",
    ),
    "not_found": ErrorSpec(404, "Invalid URL ({method} {path})", "invalid_request_error", ""),
    "method_not_allowed": ErrorSpec(404, "Invalid URL ({method} {path})", "invalid_request_error", ""),
    "not_implemented": ErrorSpec(501, "API not implemented", "new_api_error", "api_not_implemented"),
    "too_large": ErrorSpec(413, "request body too large", "new_api_error", "read_request_body_failed"),
}  # fmt: skip
"""The gateway's own errors."""
OPENAI: Mapping[str, ErrorSpec] = {
    "unauthorized": ErrorSpec(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    "forbidden": ErrorSpec(403, "You do not have access to {model}", "invalid_request_error", "model_not_found"),
    "insufficient_balance": ErrorSpec(
        429, "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota", "insufficient_quota",
    ),
    "content_policy": ErrorSpec(
        400, "Your request was rejected as a result of our safety system.", "invalid_request_error",
        "content_policy_violation",
    ),
    "rate_limited": ErrorSpec(429, "Rate limit reached for requests", "requests", "rate_limit_exceeded"),
    "server_error": ErrorSpec(
        500, "The server had an error while processing your request. Sorry about that!", "server_error"
    ),
    "overloaded": ErrorSpec(
        503, "The engine is currently overloaded, please try again later", "service_unavailable_error"
    ),
    "timeout": ErrorSpec(504, "Gateway Timeout", "server_error"),
    "bad_request": ErrorSpec(400, "Bad Request", "invalid_request_error"),
    "model_not_found": ErrorSpec(
        404, "The model `{model}` does not exist or you do not have access to it.", "invalid_request_error",
        "model_not_found",
    ),
    "not_found": ErrorSpec(404, "Invalid URL ({method} {path})", "invalid_request_error"),
    "method_not_allowed": ErrorSpec(405, "Not allowed to {method} on {path}.", "invalid_request_error"),
    "too_large": ErrorSpec(413, "Request too large", "invalid_request_error"),
}  # fmt: skip
"""OpenAI's errors, for `error_profile: openai`."""
