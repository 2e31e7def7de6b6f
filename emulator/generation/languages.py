"""Detects the language of a text, and names locales."""

import locale as locale_names

from emulator.errors import UsageError, did_you_mean
from emulator.late import late

# The most frequent words, which identify a language; they are also never the topic of a text.
# fmt: off
COMMON = {language: frozenset(words.split()) for language, words in {
    "en": """the a an and or but of to in on at by for from with without about into over is are was were be been am do
        does did have has had can could will would should shall may might must not no yes i you he she it we they me my
        your his her its our their this that these those there here what which who whom whose when where why how please
        than then them so if as also some any all just between work works tell write explain give make show help use
        many him them us i'm much more most very hello hi hey thanks mean means get let good new one""",
    "de": """der die das den dem des ein eine einen einem einer eines und oder aber nicht kein keine ist sind war waren
        sein bin hat haben hatte wird werden kann können könnte soll sollte muss ich du er sie es wir ihr mich mir dich
        dir uns euch mein meine dein deine ihre was wer wie wo wann warum wieso welche welcher welches für von vom
        mit in ohne zu zum zur auf aus bei beim nach über unter zwischen im am als wenn weil dass auch noch schon sehr
        bitte erkläre schreib schreibe gib nenne hallo danke guten tag morgen gibt man funktioniert heißt mal""",
    "fr": """le la les l un une des du de d et ou mais ne pas non oui est sont était être suis ai as a ont avoir peut
        peux pouvez je tu il elle nous vous ils elles on me te se mon ma mes ton ta tes votre vos son sa ses leur que
        qui quoi quel quelle quels quelles quand où pourquoi comment combien ce cet cette ces c qu s j n m t pour par
        sur sous dans en avec sans entre au aux plus très aussi si comme bonjour salut merci moi
        écris écrivez donne donnez fonctionne""",
    "es": """el la los las un una unos unas de del al y e o pero no sí es son era eran ser estar está están soy he ha
        han hay puede puedes podría yo tú él ella usted nosotros ustedes me te se mi mis tu tus su sus qué que quién
        cuál cuáles cuándo dónde cómo por para con sin sobre entre en a desde hasta como más muy también si este esta
        estos estas eso lo le les cuánto hola gracias favor explica explícame escribe dame funciona buenos días""",
    "it": """il lo la i gli le l un uno una di del della dello dei degli delle da dal dalla in nel nella su sul con per
        tra fra e o ma non sì è sono era erano essere ho hai ha hanno avere può puoi potresti io tu lui lei noi voi
        loro mi ti si ci vi mio mia tuo tua suo sua che chi cosa quale quali quando dove perché come quanto questo
        questa questi queste più molto anche se ciao grazie favore spiega spiegami scrivi dammi funziona buongiorno""",
    "pt": """o a os as um uma uns umas de do da dos das em no na nos nas ao à aos às e ou mas não sim é são em era eram
        ser estar está estão sou foi tem têm há pode você vocês eu ele ela nós eles elas me te se meu minha seu sua
        que quem qual quais quando onde como quanto por para pelo pela com sem sobre entre mais muito também este esta
        isso isto esse essa olá oi obrigado obrigada favor explique escreva dê mostre funciona bom dia porque""",
    "ru": """и в во на с со к ко о об у по за из от до для без при над под между не ни да нет что кто как где когда
        почему зачем какой какая какое какие который которая которые это этот эта эти тот та то те я ты он она оно мы
        вы они мне меня тебе вам нас вас его её их мой моя твой ваш свой есть был была было были быть а но или если
        же бы ли уже ещё очень так там тут только также можно нужно пожалуйста расскажи объясни напиши работает
        привет спасибо такое чем""",
}.items()}
# fmt: on
_TRADITIONAL = frozenset("這個們說請謝嗎為會來時對學國體關於麼樣點還沒過開問題語簡單與給寫兩優讓裡")
_SIMPLIFIED = frozenset("这个们说请谢吗为会来时对学国体关于么样点还没过开问题语简单与给写两优让里") - _TRADITIONAL
_WORD = late(r"[^\W\d_]+")
_QUOTED = late(r"“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|\"[^\"]*\"|(?<!\w)'[^'\n]*'(?!\w)|`[^`]*`")
_UKRAINIAN = late("[іїєґ]")
_HINTS = {"de": "äöüß", "fr": "çœêèàùîë", "es": "ñ¿¡óíáú", "pt": "ãõçâêóíáú", "it": "èàùòì"}
# The requested language, whatever language the prompt is in.
_WANTED = {
    "in english": "en", "auf englisch": "en", "en anglais": "en", "en inglés": "en", "em inglês": "en",
    "in german": "de", "auf deutsch": "de", "in french": "fr", "en français": "fr", "in spanish": "es",
    "en español": "es", "in italian": "it", "in italiano": "it", "in portuguese": "pt", "em português": "pt",
    "in russian": "ru", "по-русски": "ru", "на русском": "ru", "in chinese": "zh", "用中文": "zh", "用英文": "en",
    "in japanese": "ja", "日本語で": "ja", "英語で": "en", "по-английски": "en",
}  # fmt: skip
_ANSWER = ("answer", "reply", "respond", "write", "antwort", "schreib", "répond", "écri", "respond", "contesta",
           "escrib", "rispond", "scriv", "escrev", "ответ", "напиш", "回答", "回复", "答", "写")  # fmt: skip
LOOKED_AT = 400
"""The number of characters examined: enough to recognize a language, and fast for any text."""


def language_of(text: str, otherwise: str = "en") -> str:
    """Returns the language of a prompt, among those that have phrases: the one it explicitly asks for, or its own.

    Quotations and later paragraphs count less than the request itself. `otherwise` is for texts in no recognizable
    language; languages without phrases get English."""
    head = text[:LOOKED_AT].lower().lstrip()
    wanted = next((language for words, language in _WANTED.items() if words in head), None)
    if wanted is not None and any(word in head for word in _ANSWER):
        return wanted
    request = head.partition("\n")[0]
    bare = _QUOTED.sub(" ", request)
    for part in (bare, request, head):
        found = _language_by_words(part)
        if found is not None:
            return found
    return otherwise


def _language_by_words(text: str) -> str | None:
    if not text.isascii():
        by_script = _language_of_script(text)
        if by_script is not None:
            return by_script
    words = set(_WORD.findall(text))
    best, most = None, 0.0
    for language, common in COMMON.items():
        hits = float(len(words & common))
        hints = _HINTS.get(language)
        if hints is not None and not text.isascii():
            hits += 0.5 * sum(hint in text for hint in hints)
        if hits > most:
            best, most = language, hits
    return best


def _language_of_script(text: str) -> str | None:
    kana = han = cyrillic = latin = other = 0
    for char in text:
        if "a" <= char <= "z":
            latin += 1
        elif "\u3040" <= char <= "\u30ff":
            kana += 1
        elif "\u4e00" <= char <= "\u9fff":
            han += 1
        elif "\u0400" <= char <= "\u04ff":
            cyrillic += 1
        elif char > "\u0250" and char.isalpha():
            other += 1
    wide = 3 * (kana + han)  # one of them counts as much as three letters
    if max(wide, cyrillic, other) <= latin:
        return None
    if wide >= max(cyrillic, other):
        if 8 * kana >= han and kana > 1:
            return "ja"
        return "zh_TW" if len(_TRADITIONAL & {*text}) > len(_SIMPLIFIED & {*text}) else "zh"
    return "ru" if cyrillic > other and not _UKRAINIAN.search(text) else "en"


def language_of_locale(locale: str) -> str:
    """Returns the language of a full locale name, among those that have phrases; English for all others."""
    if locale in ("zh_TW", "zh_HK"):
        return "zh_TW"
    language = locale.split("_")[0]
    return language if language in COMMON or language in ("zh", "ja") else "en"


def known_locale(locale: str) -> str:
    """Returns the full name of a locale: `de` and `de-DE` mean `de_DE`."""
    name = locale_names.normalize(locale.replace("-", "_")).split(".")[0]
    if name == "en_US":
        return name
    from faker.config import AVAILABLE_LOCALES

    if name not in AVAILABLE_LOCALES:
        raise UsageError(f"Unknown locale '{locale}'.{did_you_mean(name, sorted(AVAILABLE_LOCALES))}")
    return name
