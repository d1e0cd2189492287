"""What a training needs and a recipe need not show: base classes, batches, resume, runtime."""
