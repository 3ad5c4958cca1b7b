"""What every endpoint and field of /v1 means, for the OpenAPI document and the reference page.

A field is called by its structure and its name. A test holds this against the structures.
"""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = str | Promise

# Title and first words of each operation.
OPERATIONS: dict[str, tuple[Words, Words]] = {
    "createChatCompletion": (
        _("Create a chat completion"),
        _("Send a conversation, get the model’s next message: whole, or as a stream of events."),
    ),
    "listModels": (
        _("List models"),
        _("The models this key may name, as OpenAI’s libraries expect them."),
    ),
    "retrieveModel": (_("Retrieve a model"), _("One model, by its name.")),
}

PARAMETERS: dict[str, Words] = {
    "name": _("The model’s name, as the list has it."),
}

HEADERS: dict[str, Words] = {
    "x-request-id": _("The request’s id: its receipt is found by it, and we ask for it."),
    "x-ratelimit-limit-requests": _("Requests a minute that your plan or key allows."),
    "x-ratelimit-limit-tokens": _("Tokens a minute that your plan or key allows."),
    "x-ratelimit-remaining-requests": _("Requests left right now."),
    "x-ratelimit-remaining-tokens": _("Tokens left right now."),
    "x-ratelimit-reset-requests": _("Until all requests are back, such as 1.2s."),
    "x-ratelimit-reset-tokens": _("Until all tokens are back, such as 6m0s."),
}

STRUCTURES: dict[str, Words] = {
    "ChatCompletionRequest": _(
        "Parameters we know are checked; others are passed to the model as they are."
    ),
    "ChatCompletion": _("The whole answer, where stream is not true."),
    "ChatCompletionChunk": _("One event of a stream, where stream is true."),
    "ModelList": _("Every model at once."),
    "Model": _("One model."),
    "Error": _("Every answer that is not a success; a stream’s error event too."),
}

# The messages of a request are one structure per role; here they are one.
MESSAGE = "Message"

FIELDS: dict[str, Words] = {
    "ChatCompletionRequest.model": _("The model’s name, from the table of models."),
    "ChatCompletionRequest.messages": _("The conversation so far, oldest first."),
    "ChatCompletionRequest.stream": _(
        "Send the answer as it is written, as server-sent events that end with [DONE]."
    ),
    "ChatCompletionRequest.stream_options": _("Only where stream is true."),
    "ChatCompletionRequest.max_tokens": _(
        "The most tokens to write, for each answer. Without it: the model’s maximum, or what the "
        "balance pays for. Not together with max_completion_tokens."
    ),
    "ChatCompletionRequest.max_completion_tokens": _("The newer name of max_tokens."),
    "ChatCompletionRequest.n": _("How many answers to write. Each is charged."),
    "ChatCompletionRequest.temperature": _(
        "How far the model strays from the likeliest words. 0 stays closest."
    ),
    "ChatCompletionRequest.top_p": _(
        "Choose only among the likeliest tokens that add up to this share."
    ),
    "ChatCompletionRequest.presence_penalty": _(
        "Above 0: tokens that occurred already become less likely."
    ),
    "ChatCompletionRequest.frequency_penalty": _(
        "Above 0: tokens become less likely each time they occur."
    ),
    "ChatCompletionRequest.stop": _("Up to four texts that end the answer before they appear."),
    "ChatCompletionRequest.logprobs": _("Return the tokens’ log probabilities."),
    "ChatCompletionRequest.top_logprobs": _(
        "How many likely tokens to return at each place. Needs logprobs."
    ),
    "ChatCompletionRequest.logit_bias": _(
        "Make single tokens likelier or rarer, by the token’s number."
    ),
    "ChatCompletionRequest.seed": _("Ask for a repeatable answer, where the model can."),
    "ChatCompletionRequest.user": _("Your own name for whoever asks. It changes nothing here."),
    "ChatCompletionRequest.tools": _("Functions the model may ask you to call."),
    "ChatCompletionRequest.tool_choice": _(
        "none, auto, required, or an object that names the function to call."
    ),
    "ChatCompletionRequest.parallel_tool_calls": _("Whether it may ask for several at once."),
    "ChatCompletionRequest.response_format": _(
        '{"type": "json_object"}, or a JSON schema the answer has to follow.'
    ),
    "ChatCompletionRequest.reasoning_effort": _(
        "How long a reasoning model may think, such as low, medium or high."
    ),
    "ChatCompletionRequest.metadata": _("Passed on as it is."),
    "ChatCompletionRequest.enable_thinking": _(
        "Turn a model’s thinking on or off, where it can be chosen."
    ),
    "ChatCompletionRequest.thinking_budget": _("The most tokens to think with."),
    "Message.role": _("Whose message it is."),
    "Message.content": _("A text, or parts. Only the assistant may leave it out."),
    "Message.name": _("Tells several participants of one role apart."),
    "Message.tool_calls": _("The calls the model asked for, as its answer had them."),
    "Message.reasoning_content": _("What the model thought, where you pass it back."),
    "Message.tool_call_id": _("Which call this is the result of."),
    "ContentPart.type": _("text or image_url; what else a model takes is passed on."),
    "ContentPart.text": _("The text of a text part."),
    "ContentPart.image_url": _("An address, or an object with url: https or data."),
    "ToolCall.id": _("The call’s name, which its result repeats."),
    "ToolCall.type": _("Always function."),
    "ToolCall.function": _("What to call."),
    "ToolFunction.name": _("The function’s name."),
    "ToolFunction.arguments": _("Its arguments as a JSON text. Check them: a model wrote it."),
    "StreamOptions.include_usage": _("Add a last event with the usage and the charge."),
    "ToolDefinition.type": _("Always function."),
    "ToolDefinition.function": _("What can be called."),
    "FunctionDefinition.name": _("What the model calls it by."),
    "FunctionDefinition.description": _("When and how to use it, for the model to read."),
    "FunctionDefinition.parameters": _("Its arguments as a JSON schema."),
    "ChatCompletion.id": _("The answer’s id."),
    "ChatCompletion.object": _("What this is."),
    "ChatCompletion.created": _("When it was made, in seconds since 1970."),
    "ChatCompletion.model": _("Which model answered."),
    "ChatCompletion.choices": _("The answers: as many as n asked for."),
    "ChatCompletion.usage": _("What it took, as charged."),
    "Choice.index": _("Which of the answers, from 0."),
    "Choice.message": _("What the model says."),
    "Choice.logprobs": _("The tokens’ log probabilities, where they were asked for."),
    "Choice.finish_reason": _(
        "stop, length (the limit was reached), tool_calls or content_filter."
    ),
    "AnswerMessage.role": _("Always assistant."),
    "AnswerMessage.content": _("The text; null where the model only calls functions."),
    "AnswerMessage.refusal": _("Why the model declined, where it says so."),
    "AnswerMessage.reasoning_content": _("What a reasoning model thought."),
    "AnswerMessage.tool_calls": _("Functions the model wants you to call."),
    "Usage.prompt_tokens": _("Tokens of the request."),
    "Usage.completion_tokens": _("Tokens of the answers, thinking included."),
    "Usage.total_tokens": _("Both together."),
    "Usage.prompt_tokens_details": _("How the prompt’s tokens divide."),
    "Usage.completion_tokens_details": _("How the answers’ tokens divide."),
    "Usage.cost": _("What was charged, in USD."),
    "PromptDetails.cached_tokens": _("Of these, what the provider had in its cache."),
    "CompletionDetails.reasoning_tokens": _("Of these, what was thought."),
    "ChatCompletionChunk.id": _("The answer’s id, the same in every event."),
    "ChatCompletionChunk.object": _("What this is."),
    "ChatCompletionChunk.created": _("When it was made, in seconds since 1970."),
    "ChatCompletionChunk.model": _("Which model answers."),
    "ChatCompletionChunk.choices": _("What comes next; empty in the event with the usage."),
    "ChatCompletionChunk.usage": _(
        "Only in the last event, where stream_options.include_usage is true."
    ),
    "ChunkChoice.index": _("Which of the answers, from 0."),
    "ChunkChoice.delta": _("What is added to the message."),
    "ChunkChoice.finish_reason": _("Why the answer ends; null until it does."),
    "Delta.role": _("assistant, in the first event."),
    "Delta.content": _("The next piece of the text."),
    "Delta.reasoning_content": _("The next piece of the thinking."),
    "Delta.tool_calls": _("Pieces of the calls, to be joined by their index."),
    "ModelList.object": _("What this is."),
    "ModelList.data": _("The models, by name."),
    "Model.id": _("The name that requests use."),
    "Model.object": _("What this is."),
    "Model.created": _("When it was added, in seconds since 1970."),
    "Model.owned_by": _("Who serves it."),
    "Model.context_length": _("Prompt and answer together, in tokens."),
    "Error.error": _("What went wrong."),
    "ErrorDetail.message": _("What happened, why, and what to do, in English."),
    "ErrorDetail.type": _("The kind of error; see Errors."),
    "ErrorDetail.param": _("The parameter to blame, where there is one."),
    "ErrorDetail.code": _("A more exact name for it, where there is one."),
}
