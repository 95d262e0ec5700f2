"""The texts that the reference embeddings are made of, written to tests/golden/texts.json.

Each row is a recipe that tests/support reads too: either a literal text, or articles of data/diplomacy joined by a blank
line, of which the first `n_words` (split at single spaces) are kept. Run from the repository's root.
"""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
N_ROWS = 500

LITERALS = [
    "Peace",
    "a",
    "I",
    "7",
    ".",
    "?!",
    " ",
    "\n",
    "\t\r\n \u00a0\u2003",
    "  leading and trailing white space \n\n",
    "one\ttab, one\r\nline end, one\u2028separator and  two  spaces",
    "Straße, Łódź, İstanbul, Ærø, Đặng, naïve façade, e\u0301 as two code points",
    "ÀÉÎÕÜ and A\u0300E\u0301I\u0302O\u0303U\u0308",
    "Zalgo: t\u0336h\u0335e\u0337 \u0336t\u0335r\u0334e\u0338a\u0336t\u0337y\u0334",
    "Министр иностранных дел прибыл в Женеву на переговоры о перемирии.",
    "МИД заявил протест послу; санкции продлены на шесть месяцев",
    "Ο υπουργός συναντήθηκε με τον πρέσβη στην Αθήνα. ΤΕΛΟΣ",
    "وصل وزير الخارجية إلى القاهرة لإجراء محادثات بشأن وقف إطلاق النار",
    "اَلسَّلَامُ عَلَيْكُمْ",
    "שר החוץ נפגש עם השגריר בירושלים",
    "外交部长抵达日内瓦，就停火问题举行会谈。",
    "外務大臣は停戦について協議するため、ジュネーブに到着した。カタカナﾊﾝｶｸ",
    "외교부 장관이 휴전 회담을 위해 제네바에 도착했다.",
    "रक्षा मंत्री ने संधि पर हस्ताक्षर किए",
    "รัฐมนตรีว่าการกระทรวงการต่างประเทศเดินทางถึงเจนีวา",
    "Bộ trưởng Ngoại giao đến Giơ-ne-vơ",
    "mixed: NATO и ЕС 与 联合国 اليوم",
    "🕊️",
    "talks resume 🕊️🇺🇳 👩‍⚖️👍🏽 in Geneva",
    "𝔽𝕒𝕟𝕔𝕪 𝓁𝑒𝓉𝓉𝑒𝓇𝓈 ﬁ ﬂ ½ ² Ⅷ ℃ ㎏",
    "full-width ＡＢＣ１２３ and half-width ｱｲｳ",
    "[CLS] literal [SEP] special [MASK] tokens [PAD] [UNK] in a text",
    "[cls] lower [sep] case",
    "<s> literal </s> <mask> tokens <unk>",
    "##ing ##ed ## continuation marks",
    "▁ the lower block ▁word",
    "control\u0000char\u0001acters\u0007and\u001bescapes\u007f",
    "zero\u200bwidth\u200dand\ufeffmarks \u202eright to left\u202c",
    "soft\u00adhyphen non\u2011breaking",
    "replacement \ufffd and private \ue000 and unassigned \U000e0fff",
    "https://www.un.org/securitycouncil/content/resolutions-adopted-2023?page=2&lang=en#top",
    "write to press-office@mfa.example.org, file:///C:/Users/x/treaty_v2(final).docx",
    "a" * 99,
    "a" * 100,
    "a" * 101,
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "supercalifragilistic" * 30,
    "x" * 5000,
    "no-spaces," * 300,
    "的" * 700,
    "! " * 600,
    "word " * 253,
    "word " * 254,
    "word " * 255,
    "word " * 600,
    "1,234,567.89 12:30 2024-02-29 +41 22 917 12 34 §3(b) 50% $1,180/t €3m",
    "don't can't it's O'Brien's \u2018curly\u2019 \u201cquotes\u201d \u2014 dash \u2013 dash \u2026",
    "snake_case CamelCase ALLCAPS iPhone eBay McDonald",
    "\\n is not a line end; \\u0041 is not a letter; &amp; is not an ampersand",
    "<p>The <b>minister</b> said&nbsp;no.</p>",
    '{"id": 1, "text": "json inside"}',
    "SELECT * FROM treaties WHERE year > 1990; -- comment",
    "E = mc² ≠ ∑ᵢ xᵢ ≤ ∞ → ∅",
    "lorem ipsum dolor sit amet, consectetur adipiscing elit",
    "the the the the the the the the",
]


def articles() -> list[str]:
    rows = []
    for split in ("train", "test"):
        for line in (ROOT / f"data/diplomacy/{split}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows.append(row["title"] + "\n" + row["text"])
    return rows


def expand(recipe: dict, articles: list[str]) -> str:
    if "text" in recipe:
        return recipe["text"]
    text = "\n\n".join(articles[i] for i in recipe["articles"])
    if "n_words" in recipe:
        text = " ".join(text.split(" ")[: recipe["n_words"]])
    return text


def recipes() -> list[dict]:
    n = len(articles())
    rows = [{"text": text} for text in LITERALS]
    # Whole articles, about 300 tokens each: some fit, some do not.
    rows += [{"articles": [i]} for i in range(0, n, 5)]
    # Far more than 512 tokens.
    rows += [{"articles": [(i * 37 + j) % n for j in range(3 + i % 5)]} for i in range(24)]
    # Starts of articles: 1 to 160 words, the short ones being the most.
    i = 0
    while len(rows) < N_ROWS:
        rows.append({"articles": [(i * 11 + 3) % n], "n_words": 1 + (i * i) % 40 + (i % 7 == 0) * (i % 120)})
        i += 1
    return rows


if __name__ == "__main__":
    path = ROOT / "tests/golden/texts.json"
    lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in recipes())
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{path}: {len(recipes())} rows")
