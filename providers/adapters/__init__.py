"""Dialects: pure translations between this API and each upstream's own habits."""

from providers.adapters import dashscope, deepseek, openai
from providers.adapters.dialect import Dialect, WrongUsage
from providers.models import Adapter

DIALECTS: dict[str, Dialect] = {
    Adapter.OPENAI: openai.OpenAIDialect(),
    Adapter.DASHSCOPE: dashscope.DashScopeDialect(),
    Adapter.DEEPSEEK: deepseek.DeepSeekDialect(),
}

__all__ = ["DIALECTS", "Dialect", "WrongUsage"]
