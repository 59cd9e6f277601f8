"""Pictures of the tables: a named dot for each model, AUC drawn so that the
distance to 1 shrinks by the same factor in the same height."""
from io import BytesIO
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image as Png
from matplotlib.ticker import EngFormatter, LogLocator
from matplotlib.transforms import Bbox
from PIL import Image


def closeness(a):
    "How close an AUC is to 1, a unit for each factor e."
    return -np.log1p(-np.minimum(a, 1 - 1e-9))


def from_closeness(z): return -np.expm1(-z)


def picture(figure):
    "A figure in 64 colours, a quarter as large in the notebook."
    full, few = BytesIO(), BytesIO()
    figure.savefig(full, dpi=100)
    plt.close(figure)
    image = Image.open(full).convert('RGB')
    how, dither = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
    image.quantize(64, how, dither=dither).save(few, 'png', optimize=True)
    return Png(few.getvalue())


def tidy(axes):
    "A pale grid below the dots, and no frame above and at the right."
    axes.grid(color='#eeeeee')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)


def close_to_one(axes, which):
    "An axis of AUCs."
    functions = closeness, from_closeness
    getattr(axes, f'set_{which}scale')('function', functions=functions)
    limits = getattr(axes, f'get_{which}lim')()
    getattr(axes, f'set_{which}ticks')(ticks(*limits))


def ticks(lowest, highest):
    "AUCs at round places, the highest first, a fifteenth of the axis apart."
    distance, found = (closeness(highest) - closeness(lowest)) / 15, []
    for a in np.arange(np.floor(highest * 200) / 200, lowest, -.005):
        if found and closeness(found[-1]) - closeness(a) <= distance: continue
        found.append(round(a, 3))
    return found


def costs(axes):
    "A logarithmic axis: 300, 1k, 3k, .., 1M."
    axes.set_xscale('log')
    axes.margins(x=.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=''))
    axes.minorticks_off()


def boxes_around(x, y, w, h, steps=(9, 16, 26, 38, 52, 68)):
    "Boxes of a size around a point, the nearest first."
    for r in steps:
        for a in np.arange(0, 2 * np.pi, np.pi / 8):
            left = x + (r + w / 2) * np.cos(a) - w / 2
            bottom = y + r * np.sin(a) - h / 2
            yield Bbox.from_bounds(left, bottom, w, h)


def lies_in(box, outer):
    "Whether a box lies inside another one."
    across = outer.x0 < box.min[0] and box.max[0] < outer.x1
    return across and outer.y0 < box.min[1] and box.max[1] < outer.y1


def free_box(around, taken, inside):
    "The nearest box that lies inside and covers none; else the nearest one."
    for box in around:
        if lies_in(box, inside) and not box.count_overlaps(taken): return box
    return around[0]


def free_boxes(dots, sizes, inside):
    "A box of each size near each dot, that covers neither dots nor boxes."
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in dots]
    for dot, size in zip(dots, sizes):
        around = list(boxes_around(*dot, *size))
        taken.append(free_box(around, taken, inside))
    return taken[len(dots):]


def named_at(axes, x, y, name):
    "A name that lies on its dot until it is moved."
    centred = dict(ha='center', va='center', in_layout=False)
    return axes.text(x, y, name, fontsize=9, **centred)


def size_of(text):
    "Width and height of a text, in pixels."
    box = text.get_window_extent()
    return box.width + 2, box.height


def name_dots(axes, x, y, names):
    "A name beside each dot, with a thin line where one may wonder whose it is."
    texts = [named_at(axes, *one) for one in zip(x, y, names)]
    axes.figure.canvas.draw()
    dots = axes.transData.transform(np.c_[x, y])
    back = axes.transData.inverted().transform
    sizes = [size_of(text) for text in texts]
    boxes = free_boxes(dots, sizes, axes.get_window_extent())
    for i, (text, box) in enumerate(zip(texts, boxes)):
        text.set_position(back((box.min + box.max) / 2))
        near = np.clip(dots, box.min, box.max)
        away = np.hypot(*(near - dots).T)
        # It had to move away, or is as near to another dot
        if away[i] > 12 or (away < away[i] + 6).sum() > 1:
            line = back([dots[i], near[i]]).T
            axes.plot(*line, color='#999999', linewidth=.6, zorder=1)


def scatter(axes, x, y, kinds):
    "A dot for each model as its kind is drawn; x and y are series by model."
    for kind, (color, marker, models) in kinds.items():
        some = x.index.isin(models)
        if not some.any(): continue
        axes.plot(x[some], y[some], marker, color=color, label=kind)


def named(axes, x, y):
    "The last strokes, when scales and limits are settled."
    tidy(axes)
    name_dots(axes, x, y, x.index)
    axes.legend(frameon=False, loc='lower right', fontsize=9)
