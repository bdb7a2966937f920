"""Bounded reading: every byte that comes from outside goes through one of these doors.

Each bounds what a file may ask for before memory is taken or time is spent, and says what is wrong with it in
an error of the house: `Request` holds its words. Nothing that is read is run.

| door | what it opens | what it bounds |
|---|---|---|
| `content` | any file | size; pipes, devices and folders are refused |
| `streams` | files that go on, compressed or not | nothing is held but a chunk |
| `documents` | JSON, TOML | bytes, depth, values, digits, doubled keys, NaN |
| `zips` | zip archives | entries, inflation, names, links |
| `tars` | .tar.gz | names, bytes once inflated |
| `arrays` | .npy, .npz | header, element types, sizes before memory |
| `tensors` | safetensors | header, depth, overlaps, element types |
| `databases` | SQLite | exact tables, no triggers, steps a question may take |
| `pickles` | pickles of plain data | steps, marks, bytes; no name is looked up |
| `tables` | parquet | rows, columns, row groups, bytes once inflated |
| `pictures` | JPEG, PNG, WebP, BMP | pixels |
| `onnx_files` | ONNX | messages, and how deep they lie |
| `onnx_contents` | what an ONNX file asks for | files beside it that hold weights; links are refused |
"""
