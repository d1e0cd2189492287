"""What a replica has to know of the others, when a strategy shares a batch out among devices.

Keras sums the gradients over the replicas. So each loss, a mean over the replica's own rows, has to
be weighted by the replica's share of the global batch: then the sum is the gradient of the mean
over the global batch, as on one device. On one device nothing here adds an operation.
"""

import keras
import tensorflow as tf

SUM, MEAN = tf.distribute.ReduceOp.SUM, tf.distribute.ReduceOp.MEAN


def has_replicas():
    """Whether the strategy in force has more than one replica."""
    return replica_count() > 1


def replica_context():
    """TensorFlow's context of the replica that runs, where it is one of several; else None."""
    return tf.distribute.get_replica_context() if has_replicas() else None


def weigh_by_count(value, count, reduction=MEAN):
    """A mean over this replica's `count` elements, so weighted that the mean (or the sum) over the
    replicas is the mean over all elements."""
    replica = replica_context()
    if replica is None:
        return value
    count = tf.cast(count, value.dtype)
    weight = tf.math.divide_no_nan(count, replica.all_reduce(reduction, count))
    return tf.math.multiply_no_nan(value, weight)  # of no rows it is NaN, and weighs nothing


def optimizers_of(model):
    """A model's optimizers: its attributes, and the members of those that are lists."""
    fields = [x if isinstance(x, list) else [x] for x in vars(model).values()]
    found = [x for field in fields for x in field if isinstance(x, keras.optimizers.Optimizer)]
    return list({id(optimizer): optimizer for optimizer in found}.values())


def training_state(model):
    """All variables that training changes: weights, random generators, and those of optimizers."""
    metrics = {id(variable) for variable in model.metrics_variables}
    optimizers = [variable for x in optimizers_of(model) for variable in x.variables]
    return [*(x for x in model.variables if id(x) not in metrics), *optimizers]


def broadcast_from_chief(model, number):
    """Gives every machine the training state that the first one's model has, which was made and
    compiled under the strategy; returns the first one's `number`, an int."""
    strategy = model.distribute_strategy
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return number

    @tf.function
    def copy(number):
        def first(x):
            mine = tf.where(replica_context().replica_id_in_sync_group == 0, x, tf.zeros_like(x))
            return replica_context().all_reduce(SUM, mine)

        for variable in training_state(model):
            variable.assign(first(variable.value))
        return first(number)

    return int(strategy.experimental_local_results(strategy.run(copy, [tf.constant(number)]))[0])


def own_rows(draw, count):
    """This replica's rows of something random, so that several devices draw what one would.

    Keras' random generators have the same state on each replica. So each replica draws the rows of
    the global batch, and keeps its own.

    Args:
        draw: function of a number of rows, which returns that many.
        count: int or int tensor, the rows of this replica; all have equally many.
    """
    replica = replica_context()
    if replica is None:
        return draw(count)
    first = replica.replica_id_in_sync_group * count
    return draw(count * replica.num_replicas_in_sync)[first : first + count]


def gather(rows):
    """The rows of all replicas, from those of this one."""
    return rows if replica_context() is None else replica_context().all_gather(rows, axis=0)


def replica_count():
    """How many replicas the strategy in force has; 1 without one."""
    return tf.distribute.get_strategy().num_replicas_in_sync
