"""Recipes of runs of a second; written in full, so that a changed default cannot change them."""

TINY = """
description: a run of a second
trainer: vae
data: {class_path: axiswise.data.ThreeDots, init_args: {size: 16, values: 16}}
model:
  class_path: axiswise.nets.ConvVAE
  init_args: {hidden: [8, 8], features: 16, latent_dim: 4}
objective: {beta: 2.0}
terms: {jl1: {weight: 0.1, columns: 1}}
steps: 40
batch_size: 8
learning_rate: 1.0e-3
decay_start: 0.5
anneal: 0.5
log_every: 5
checkpoint_every: 10
precision: 32-true
accelerator: cpu
evaluation: {radius: [0.3, 1.0], centres: 2, samples: 200}
"""

TINY_GAN = """
description: a GAN of a second
trainer: gan
data: {class_path: axiswise.data.Sprites, init_args: {size: 16}}
generator: {class_path: axiswise.nets.SimpleGenerator, init_args: {latent_dim: 4, width: 0.1}}
critic: {class_path: axiswise.nets.SimpleCritic, init_args: {width: 0.1}}
objective: {class_path: axiswise.objectives.WGANGP, init_args: {gradient_penalty: 10.0}}
terms:
  orojar: {weight: 1.0e-3, probes: 2, layers: ["0.1", "1.0"]}
  vp: {weight: 0.1, width: 0.1}
steps: 40
batch_size: 8
learning_rate: 1.0e-3
decay_start: 0.5
ema: 0.9
log_every: 5
checkpoint_every: 10
precision: 32-true
accelerator: cpu
evaluation: {radius: [0.3, 1.0], centres: 2, samples: 200, images: 100, paths: 100}
"""

TINY_PROGRESSIVE = """
description: a GAN that grows, of seconds
trainer: progressive
data: {class_path: axiswise.data.Sprites, init_args: {size: 16}}
generator:
  class_path: axiswise.nets.ProgressiveGenerator
  init_args: {latent_dim: 4, width: 0.0078125}
critic:
  class_path: axiswise.nets.ProgressiveCritic
  init_args: {width: 0.0078125, codes: 2}
terms:
  orojar: {weight: 1.0e-3, probes: 2, correction: 0, layers: [4x4.Dense, 4x4.Conv, 8x8.Conv1]}
  infogan_published: {weight: 1.0}
steps: 40
images: 400
stable_images: 32
fading_images: 64
batch_size: 8
batch_sizes: [8]
parts: 2
learning_rate: 1.0e-3
log_every: 5
checkpoint_every: 10
precision: 32-true
accelerator: cpu
evaluation: {radius: [0.3, 1.0], centres: 2, samples: 200, images: 100, paths: 100}
"""
