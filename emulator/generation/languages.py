"""How each language writes: its words, its full stops, its fixed phrases, and how many tokens they make."""

import functools
import locale as locale_names
import pkgutil
import re
from dataclasses import dataclass
from importlib import import_module
from random import Random

from emulator.errors import UsageError, did_you_mean


@dataclass(frozen=True, slots=True)
class Phrases:
    """The sentences of one language that are not made of chance words."""

    lead: str
    """Opens a text on {about}; a sentence follows."""
    example: str
    """Introduces a block of code."""
    asked: str
    """Opens the reasoning on {about}."""
    thoughts: tuple[str, ...]
    """The first one opens the reasoning when nothing is known; the others take the words {one} and {two}."""
    answer: str
    """Ends the reasoning."""


# fmt: off
PHRASES = {
    "en": Phrases("About “{about}”: ", "Here is an example:", "The user asks about “{about}”.", (
        "Let me see what the user really wants to know.", "I should start with “{one}” and then turn to “{two}”.",
        "It may help to compare “{one}” with “{two}”.", "Wait, “{one}” matters more here than “{two}”.",
        "I should not forget “{one}”.", "Let me check “{one}” once more."), "Now I can answer."),
    "de": Phrases("Zu „{about}“: ", "Hier ist ein Beispiel:", "Der Nutzer fragt nach „{about}“.", (
        "Mal sehen, was der Nutzer wirklich wissen will.", "Ich beginne mit „{one}“ und komme dann zu „{two}“.",
        "Es hilft wohl, „{one}“ mit „{two}“ zu vergleichen.", "Moment, „{one}“ ist hier wichtiger als „{two}“.",
        "Ich sollte „{one}“ nicht vergessen.", "Ich prüfe „{one}“ noch einmal."), "Jetzt kann ich antworten."),
    "fr": Phrases("À propos de « {about} » : ", "Voici un exemple :", "L’utilisateur demande : « {about} ».", (
        "Voyons ce que l’utilisateur veut vraiment savoir.", "Je commence par « {one} », puis je passe à « {two} ».",
        "Il est utile de comparer « {one} » et « {two} ».", "Attention, « {one} » compte ici plus que « {two} ».",
        "Je ne dois pas oublier « {one} ».", "Je vérifie encore « {one} »."), "Je peux répondre maintenant."),
    "es": Phrases("Sobre «{about}»: ", "Aquí hay un ejemplo:", "El usuario pregunta por «{about}».", (
        "Veamos qué quiere saber realmente el usuario.", "Empiezo por «{one}» y luego paso a «{two}».",
        "Conviene comparar «{one}» con «{two}».", "Un momento: «{one}» importa aquí más que «{two}».",
        "No debo olvidar «{one}».", "Voy a comprobar «{one}» otra vez."), "Ya puedo responder."),
    "it": Phrases("A proposito di «{about}»: ", "Ecco un esempio:", "L’utente chiede di «{about}».", (
        "Vediamo che cosa vuole sapere davvero l’utente.", "Comincio da «{one}» e poi passo a «{two}».",
        "Conviene confrontare «{one}» con «{two}».", "Un momento: qui «{one}» conta più di «{two}».",
        "Non devo dimenticare «{one}».", "Controllo ancora una volta «{one}»."), "Ora posso rispondere."),
    "pt": Phrases("Sobre “{about}”: ", "Aqui está um exemplo:", "O usuário pergunta sobre “{about}”.", (
        "Vejamos o que o usuário quer saber de fato.", "Começo por “{one}” e depois passo para “{two}”.",
        "Convém comparar “{one}” com “{two}”.", "Espere: “{one}” importa mais aqui do que “{two}”.",
        "Não posso esquecer “{one}”.", "Vou verificar “{one}” mais uma vez."), "Agora posso responder."),
    "ru": Phrases("О «{about}»: ", "Вот пример:", "Пользователь спрашивает: «{about}».", (
        "Посмотрим, что пользователь на самом деле хочет узнать.", "Начну с «{one}», а затем перейду к «{two}».",
        "Стоит сравнить «{one}» и «{two}».", "Стоп, здесь «{one}» важнее, чем «{two}».",
        "Нельзя забыть про «{one}».", "Ещё раз проверю «{one}»."), "Теперь можно отвечать."),
    "zh": Phrases("关于“{about}”：", "示例如下：", "用户问的是“{about}”。", (
        "先看看用户真正想知道什么。", "我应该先说“{one}”，再说“{two}”。", "不妨把“{one}”和“{two}”比较一下。",
        "等等，这里“{one}”比“{two}”更重要。", "我不能忘记“{one}”。", "再检查一下“{one}”。"), "现在可以回答了。"),
    "zh_TW": Phrases("關於「{about}」：", "範例如下：", "使用者問的是「{about}」。", (
        "先看看使用者真正想知道什麼。", "我應該先說「{one}」，再說「{two}」。", "不妨把「{one}」和「{two}」比較一下。",
        "等等，這裡「{one}」比「{two}」更重要。", "我不能忘記「{one}」。",
        "再檢查一下「{one}」。"), "現在可以回答了。"),
    "ja": Phrases("「{about}」について、", "例を示します。", "ユーザーは「{about}」について尋ねている。", (
        "ユーザーが本当に知りたいことは何だろう。", "まず「{one}」から始めて、次に「{two}」に進もう。",
        "「{one}」と「{two}」を比べるとよさそうだ。", "待って、ここでは「{two}」より「{one}」のほうが大事だ。",
        "「{one}」を忘れてはいけない。", "「{one}」をもう一度確かめよう。"), "これで答えられる。"),
}

# Faker has no Portuguese words; these are enough for a text that looks right.
PORTUGUESE = tuple(re.findall(r"\w+", """
a o uma um de do da em no na por para com sem sobre entre mas também já ainda quando onde porque tempo casa cidade
rua água luz vida dia noite ano mês hora pessoa amigo família criança escola livro palavra história trabalho empresa
mercado projeto problema resposta pergunta caminho viagem mundo país região mar rio montanha jardim grande pequeno
novo velho bom melhor claro simples forte aberto seguro possível importante comum próprio último primeiro ser estar
ter fazer dizer ver ir vir dar saber querer poder ficar deixar passar levar começar mostrar encontrar escrever ler
abrir fechar chegar voltar pensar mudar sempre nunca hoje amanhã aqui ali muito pouco mais menos bem devagar então
"""))

# DeepSeek tokens per character, measured on the words that Faker has for the language.
DENSITY = {"en": 0.17, "de": 0.26, "fr": 0.25, "es": 0.21, "it": 0.26, "pt": 0.24, "ru": 0.32, "zh": 0.55, "ja": 0.76,
           "nl": 0.29, "da": 0.32, "pl": 0.35, "cs": 0.37, "uk": 0.42, "ar": 0.40, "fa": 0.38, "he": 0.59, "hy": 0.61,
           "th": 0.50, "el": 0.48, "bn": 0.51, "az": 0.46, "vi": 0.41, "mk": 0.37, "tl": 0.34, "fil": 0.34, "la": 0.28}
COMMAS = {"zh": "，", "ja": "、", "ar": "، ", "fa": "، ", "th": ""}
# fmt: on
LATIN, WIDE = re.compile("[A-Za-zÀ-ÿ]+"), re.compile("[\u2e80-\uffff]+")
SIGN, MARKUP, QUOTES = re.compile("[\x00-@]+"), re.compile("[-*#|:\n\\d]"), re.compile("[“”„«»]")


@dataclass(frozen=True, slots=True)
class Voice:
    """How a locale writes: its words, and what stands between and after them."""

    words: tuple[str, ...]
    joint: str
    comma: str
    stop: str
    gap: str
    """Between two sentences."""
    phrases: Phrases
    density: float

    def sentence(self, random: Random, length: int = 0) -> str:
        """A sentence of `length` words, or of a natural length."""
        length = length or random.randint(5, 12)
        words = random.sample(self.words, min(length, len(self.words)))
        if length > 7 and random.random() < 0.5:
            words[3] += self.comma.rstrip() if self.joint else self.comma
        text = self.joint.join(words)
        return text[0].upper() + text[1:] + self.stop

    def word(self, random: Random) -> str:
        """A word with a capital, for a heading or a cell."""
        word = random.choice(self.words)
        return word[0].upper() + word[1:]

    def estimate(self, text: str) -> int:
        """About how many tokens the text has: within 15 % for what this voice says itself."""
        fenced = text.split("```")
        prose = "".join(fenced[::2])
        letters, wide, signs = _matched(LATIN, prose), _matched(WIDE, prose), _matched(SIGN, prose)
        weights = (
            (letters, self.density if LATIN.match(self.words[0]) else 0.2),
            (wide, self.density if WIDE.match(self.words[0]) else 0.6),
            (signs, min(self.density, 0.35)),
            (len(prose) - letters - wide - signs, self.density),
            (_matched(MARKUP, prose), 0.3),
            (_matched(QUOTES, prose), 0.7),
            (sum(map(len, fenced[1::2])) + 3 * len(fenced[1:]), 0.31),
        )
        return round(sum(number * weight for number, weight in weights))


def _matched(pattern: re.Pattern[str], text: str) -> int:
    """How many characters match; the patterns match runs, which is several times faster than one by one."""
    return sum(map(len, pattern.findall(text)))


def known_locale(locale: str) -> str:
    """The full name of a locale: `de` and `de-DE` mean `de_DE`."""
    name = locale_names.normalize(locale.replace("-", "_")).split(".")[0]
    if name == "en_US":
        return name
    from faker.config import AVAILABLE_LOCALES

    if name not in AVAILABLE_LOCALES:
        raise UsageError(f"Unknown locale '{locale}'.{did_you_mean(name, sorted(AVAILABLE_LOCALES))}")
    return name


def phrases_of(locale: str) -> Phrases:
    return PHRASES.get(locale) or PHRASES.get(locale.split("_")[0]) or PHRASES["en"]


@functools.cache
def voice_of(locale: str) -> Voice:
    """The words of the locale, else of its language, else English ones (Faker itself would speak Latin)."""
    import faker.providers.lorem

    language = locale.split("_")[0]
    modules = sorted(module.name for module in pkgutil.iter_modules(faker.providers.lorem.__path__))
    kin = [name for name in modules if name.split("_")[0] == language]
    choices = [f"{language}_{language.upper()}", *kin]
    # Faker's en_PH speaks Latin too.
    name = "en_US" if language == "en" else next((each for each in [locale, *choices] if each in kin), "en_US")
    provider = import_module(f"faker.providers.lorem.{name}").Provider
    words = PORTUGUESE if language == "pt" else tuple(dict.fromkeys(provider.word_list))
    spoken = "pt" if language == "pt" else name.split("_")[0]
    joint = provider.word_connector
    stop = "。" if spoken == "zh" else provider.sentence_punctuation.strip()
    gap = "" if spoken in ("zh", "ja") else " "
    return Voice(words, joint, COMMAS.get(spoken, ", "), stop, gap, phrases_of(locale), DENSITY.get(spoken, 0.35))
