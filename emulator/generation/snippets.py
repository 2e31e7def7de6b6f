"""Short programs in the languages that prompts ask for. They run as they are, with a marked line to fill in."""

import builtins
import keyword
import re
from collections.abc import Sequence

from emulator.records import record


@record
class Snippet:
    """A program in one language. NAME is an identifier made from the prompt's words, TEXT is those words, NOTE a
    comment.
    """

    title: str
    fence: str
    case: str
    """The naming convention: `snake`, `camel`, `pascal` or `kebab`."""
    full: str
    brief: str


# fmt: off
SNIPPETS = {
    "python": Snippet("Python", "python", "snake",
        'def NAME(items):\n    result = []\n    for item in items:\n        result.append(item)  # NOTE\n'
        '    return result\n\n\nprint(NAME(["one", "two", "three"]))', 'print("TEXT")'),
    "javascript": Snippet("JavaScript", "javascript", "camel",
        'function NAME(items) {\n  // NOTE\n  return items.map((item) => item);\n}\n\n'
        'console.log(NAME(["one", "two", "three"]));', 'console.log("TEXT");'),
    "typescript": Snippet("TypeScript", "typescript", "camel",
        'function NAME(items: string[]): string[] {\n  // NOTE\n  return items.map((item) => item);\n}\n\n'
        'console.log(NAME(["one", "two", "three"]));', 'console.log("TEXT");'),
    "java": Snippet("Java", "java", "camel",
        'import java.util.List;\n\npublic class Main {\n    static List<String> NAME(List<String> items) {\n'
        '        return items; // NOTE\n    }\n\n    public static void main(String[] args) {\n'
        '        System.out.println(NAME(List.of("one", "two", "three")));\n    }\n}', 'System.out.println("TEXT");'),
    "kotlin": Snippet("Kotlin", "kotlin", "camel",
        'fun NAME(items: List<String>): List<String> =\n    items.map { it } // NOTE\n\n'
        'fun main() {\n    println(NAME(listOf("one", "two", "three")))\n}', 'fun main() = println("TEXT")'),
    "swift": Snippet("Swift", "swift", "camel",
        'func NAME(_ items: [String]) -> [String] {\n    items.map { $0 } // NOTE\n}\n\n'
        'print(NAME(["one", "two", "three"]))', 'print("TEXT")'),
    "c": Snippet("C", "c", "snake",
        '#include <stdio.h>\n\nstatic int NAME(int value) {\n    return value; // NOTE\n}\n\n'
        'int main(void) {\n    printf("%d\\n", NAME(42));\n    return 0;\n}', 'puts("TEXT");'),
    "c++": Snippet("C++", "cpp", "snake",
        '#include <iostream>\n\nint NAME(int value) {\n    return value; // NOTE\n}\n\n'
        'int main() {\n    std::cout << NAME(42) << std::endl;\n}', 'std::cout << "TEXT" << std::endl;'),
    "c#": Snippet("C#", "csharp", "pascal",
        'using System;\n\nint NAME(int value) => value; // NOTE\n\nConsole.WriteLine(NAME(42));',
        'Console.WriteLine("TEXT");'),
    "go": Snippet("Go", "go", "camel",
        'package main\n\nimport "fmt"\n\nfunc NAME(items []string) []string {\n\treturn items // NOTE\n}\n\n'
        'func main() {\n\tfmt.Println(NAME([]string{"one", "two", "three"}))\n}', 'fmt.Println("TEXT")'),
    "rust": Snippet("Rust", "rust", "snake",
        'fn NAME(items: &[&str]) -> Vec<String> {\n    // NOTE\n'
        '    items.iter().map(|item| item.to_string()).collect()\n}\n\n'
        'fn main() {\n    println!("{:?}", NAME(&["one", "two", "three"]));\n}', 'println!("TEXT");'),
    "ruby": Snippet("Ruby", "ruby", "snake",
        'def NAME(items)\n  items.map { |item| item } # NOTE\nend\n\np NAME(%w[one two three])', 'puts "TEXT"'),
    "php": Snippet("PHP", "php", "camel",
        '<?php\n\nfunction NAME(array $items): array\n{\n    return array_map(fn ($item) => $item, $items); // NOTE\n}'
        '\n\nprint_r(NAME(["one", "two", "three"]));', '<?php echo "TEXT";'),
    "bash": Snippet("Bash", "bash", "snake",
        '#!/usr/bin/env bash\nset -euo pipefail\n\nNAME() {\n  for item in "$@"; do\n    echo "$item" # NOTE\n  done\n}'
        '\n\nNAME one two three', 'echo "TEXT"'),
    "sql": Snippet("SQL", "sql", "snake",
        'CREATE TABLE NAME (\n    id INTEGER PRIMARY KEY,\n    title VARCHAR(200) NOT NULL\n);\n\n'
        "SELECT id, title\nFROM NAME\nWHERE title LIKE '%one%' -- NOTE\nORDER BY id;", 'SELECT * FROM NAME;'),
    "html": Snippet("HTML", "html", "kebab",
        '<!doctype html>\n<html>\n  <head>\n    <meta charset="utf-8">\n    <title>TEXT</title>\n  </head>\n'
        '  <body>\n    <h1 id="NAME">TEXT</h1>\n    <!-- NOTE -->\n  </body>\n</html>', '<p>TEXT</p>'),
    "css": Snippet("CSS", "css", "kebab",
        '.NAME {\n  display: flex;\n  align-items: center;\n  justify-content: center; /* NOTE */\n}',
        '.NAME { color: teal; }'),
}
_NAMES = {
    "python": "python", "py": "python", "javascript": "javascript", "js": "javascript", "node": "javascript",
    "node.js": "javascript", "react": "javascript", "typescript": "typescript", "ts": "typescript", "java": "java",
    "kotlin": "kotlin", "swift": "swift", "c": "c", "c++": "c++", "cpp": "c++", "c#": "c#", "csharp": "c#",
    "golang": "go", "go": "go", "rust": "rust", "ruby": "ruby", "php": "php", "bash": "bash", "shell": "bash",
    "sql": "sql", "html": "html", "css": "css",
}
# fmt: on
_ONLY_CAPITAL = frozenset({"c", "go"})
# fmt: off
_RESERVED = frozenset({*map(str.lower, keyword.kwlist), *map(str.lower, dir(builtins)), *re.findall(r"\w+", """
array auto begin case char class const default delete do done double echo else empty end enum exec export float fn
for from fun func function goto group id if impl index int isset item items key let list local long main map match
mod module move new one order print private public read register require result return select short signed sizeof
static struct switch table test then this three time title trait try two type typeof union unset unsigned use value
var view void where while
""")})
# fmt: on


def named_in(word: str) -> str | None:
    """Returns the programming language that a word of a prompt names; `Go` and `C` must be capitalized."""
    lower = word.lower()
    if lower in _ONLY_CAPITAL and word == lower:
        return None
    return _NAMES.get(lower)


def program(language: str, words: Sequence[str], todo: str, *, is_brief: bool = False) -> tuple[str, str]:
    """Returns a fenced block with one of `SNIPPETS`, and the identifier in it if it is made from these words."""
    snippet = SNIPPETS[language]
    usable = [word.lower() for word in words if word.isascii() and word.isalpha()][:3]
    name = _name(usable, snippet.case)
    text = " ".join(usable) or "hello"
    code = snippet.brief if is_brief else snippet.full
    code = code.replace("NAME", name).replace("TEXT", text).replace("NOTE", todo)
    return f"```{snippet.fence}\n{code}\n```", name if usable and not is_brief else ""


def _name(words: Sequence[str], case: str) -> str:
    if len(words) < 2 and (not words or words[0] in _RESERVED or len(words[0]) < 3):
        words = ["handle", *(words or ["items"])]
    words = [word[:20] for word in words]
    if case == "snake":
        return "_".join(words)
    if case == "kebab":
        return "-".join(words)
    name = "".join(word.capitalize() for word in words)
    return name if case == "pascal" else name[0].lower() + name[1:]
