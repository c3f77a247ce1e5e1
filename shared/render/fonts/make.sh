#!/bin/sh
# Makes the fallback fonts of this folder: subsets of Noto, for text that the typesetter's fonts
# lack. The typesetter takes from these whatever the fonts that document.typ names do not have.
#
# usage: make.sh WORK_FOLDER, on Debian 12 with apt, dpkg, npm and Python.
# Sources: Debian fonts-noto-core 20201225-1 and fonts-noto-cjk 1:20220127+repack1-1, npm
# @expo-google-fonts/noto-emoji 0.4.7; subset with fonttools 4.68.0. All are under the SIL Open
# Font License 1.1 (NOTICE). Hinting and vertical text are left out: a PDF needs neither.
#
# East Asian text has the characters of the national standards JIS X 0208, GB 2312 and KS X 1001,
# which cover full-width characters, kana, hangul and some 10,000 ideographs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && cd "$1"
apt-get download fonts-noto-core fonts-noto-cjk
for package in fonts-noto-*.deb; do dpkg-deb -x "$package" noto; done
npm pack @expo-google-fonts/noto-emoji@0.4.7 && tar xzf expo-google-fonts-noto-emoji-*.tgz
python3 -m venv fonttools && fonttools/bin/pip -q install fonttools==4.68.0
subset() { fonttools/bin/pyftsubset "$@" --no-hinting; }

python3 - > east-asian.txt <<'EOF'
def is_in(codec: str, code: int) -> bool:
    try:
        return len(chr(code).encode(codec)) <= 2
    except UnicodeEncodeError:
        return False

codes = (code for code in range(0x80, 0x10000) if not 0xD800 <= code < 0xE000)
standards = ("shift_jis", "gb2312", "euc_kr")
print(",".join(f"{code:x}" for code in codes if any(is_in(each, code) for each in standards)))
EOF
subset noto/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc --font-number=0 \
    --unicodes-file=east-asian.txt --layout-features= \
    --drop-tables+=vhea,vmtx,VORG,BASE,GSUB,GPOS --output-file="$here/NotoSansCJKjp-Regular.otf"
subset package/400Regular/NotoEmoji_400Regular.ttf --layout-features= \
    --unicodes=2190-21ff,2300-23ff,2600-27bf,2b00-2bff,1f1e6-1f1ff,1f300-1f6ff \
    --unicodes=1f900-1f9ff,1fa70-1faff \
    --output-file="$here/NotoEmoji-Regular.ttf"
for script in Arabic Armenian Bengali Devanagari Georgian Gujarati Gurmukhi Kannada Malayalam \
    Tamil Telugu Thai; do
    subset "noto/usr/share/fonts/truetype/noto/NotoSans$script-Regular.ttf" --unicodes='*' \
        --layout-features='*' --output-file="$here/NotoSans$script-Regular.ttf"
done
