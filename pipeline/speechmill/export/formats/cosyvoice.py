"""CosyVoice 1 to 3: folders as Kaldi has them, within the lengths that its training takes."""

from speechmill.export.base import Limits
from speechmill.export.formats.kaldi import Kaldi


class CosyVoice(Kaldi):
    """`cosyvoice/train/` and `cosyvoice/validation/`, at 24,000 Hz."""

    folder = "cosyvoice"

    name = "cosyvoice"
    about = "cosyvoice/train/ with wav.scp, text, utt2spk, spk2utt; read by CosyVoice's make_parquet_list.py"
    loading = (
        "`tools/make_parquet_list.py --src_dir cosyvoice/train` after its steps for embeddings and speech tokens. "
        "Its filter leaves out texts of more than 200 tokens without a word. `wav.scp` has the path of this folder."
    )
    # examples/libritts/cosyvoice2/conf/cosyvoice2.yaml: min_length 100 and max_length 6000, in frames of 10 ms.
    limits = Limits(min_seconds=1.0, max_seconds=60.0)
    sample_rate = 24_000
