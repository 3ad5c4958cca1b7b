"""Bills as providers export them, with made-up figures."""

import io
import zipfile

AMOUNT = "user_id,utc_date,model,api_key_name,api_key,type,price,amount"
AMOUNT_ISO = "user_id,start_time_iso,end_time_iso,model,api_key_name,api_key,type,price,amount"
COST = "user_id,utc_date,model,wallet_type,cost,currency"


def csv(*lines: str, newline: str = "\n") -> bytes:
    return (newline.join(lines) + newline).encode()


def deepseek_amounts(day: str = "2026-11-03", model: str = "deepseek-flash") -> bytes:
    """One request: 400 tokens read anew at 0.15, 600 cached at 0.003, 100 written at 0.60 USD
    per million: 121,800 nanos."""
    start = f"u,{day},{model},prod,sk-1***9"
    return csv(
        AMOUNT,
        f"{start},request_count,,1",
        f"{start},input_cache_miss_tokens,0.00000015,400",
        f"{start},input_cache_hit_tokens,0.000000003,600",
        f"{start},output_tokens,0.0000006,100",
    )


def deepseek_zip(cost: str = "0.0001218", day: str = "2026-11-03") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("amount-2026-11.csv", deepseek_amounts(day))
        archive.writestr("cost-2026-11.csv", csv(COST, f"u,{day},deepseek-flash,Paid,{cost},USD"))
    return out.getvalue()


ALIBABA = "账单月份,账单日期,产品,计费项,实例 ID（出账粒度）,用量,用量单位,应付金额,币种"


def alibaba(*rows: str) -> str:
    return "\n".join((ALIBABA, *rows)) + "\n"


def alibaba_row(kind: str, usage: str, unit: str, amount: str, day: str = "2026-11-03") -> str:
    instance = f"12345;llm-abc;qwen-plus;{kind};app;0"
    return f"2026-11,{day},大模型服务平台百炼,推理,{instance},{usage},{unit},{amount},CNY"
