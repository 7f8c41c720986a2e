"""What crosses a boundary: Avro schemas, the codec, event batches, results, and the exception tree."""
